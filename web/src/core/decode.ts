import type { Dtype, Packed, Source } from './contract';

export type Numbers = Uint8Array | Uint16Array | Uint32Array | Float32Array;

const SIZE: Record<Dtype, number> = { u8: 1, u16: 2, u32: 4, f32: 4 };
const LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Numbers of little-endian bytes; an error where their count is not the shape's. */
export function decode(bytes: Uint8Array, packed: Packed): Numbers {
  const size = SIZE[packed.dtype];
  const count = packed.shape.reduce((a, b) => a * b, 1);
  if (!size) throw new Error(`Array "${packed.ref}" has an unknown type.`);
  if (bytes.byteLength !== count * size) {
    throw new Error(
      `Array "${packed.ref}" has ${bytes.byteLength} bytes; its shape ${packed.shape.join(' x ')} needs ${count * size}.`,
    );
  }
  if (packed.dtype === 'u8') return bytes;
  const own = !LITTLE || bytes.byteOffset % size ? bytes.slice() : bytes;
  if (!LITTLE) for (let i = 0; i < own.length; i += size) own.subarray(i, i + size).reverse();
  const { buffer, byteOffset } = own;
  if (packed.dtype === 'u16') return new Uint16Array(buffer, byteOffset, count);
  if (packed.dtype === 'u32') return new Uint32Array(buffer, byteOffset, count);
  return new Float32Array(buffer, byteOffset, count);
}

/** Decoded arrays, each fetched once; the oldest leave when they hold more than `budget` bytes. */
export class Arrays {
  private readonly held = new Map<string, { value: Promise<Numbers>; size: number }>();
  private total = 0;

  constructor(
    private readonly source: Source,
    private readonly budget = 256 * 2 ** 20,
  ) {}

  get(packed: Packed): Promise<Numbers> {
    const found = this.held.get(packed.ref);
    if (found) {
      this.held.delete(packed.ref);
      this.held.set(packed.ref, found);
      return found.value;
    }
    const size = packed.shape.reduce((a, b) => a * b, SIZE[packed.dtype]);
    const value = this.source.bytes(packed.ref).then((bytes) => decode(bytes, packed));
    this.held.set(packed.ref, { value, size });
    this.total += size;
    for (const [ref, old] of this.held) {
      if (this.total <= this.budget || ref === packed.ref) break;
      this.held.delete(ref);
      this.total -= old.size;
    }
    value.catch(() => {
      if (this.held.get(packed.ref)?.value === value) {
        this.held.delete(packed.ref);
        this.total -= size;
      }
    });
    return value;
  }
}

/** Weight of an 8-bit code: codes are round(255 sqrt(weight)). */
export const WEIGHT8 = Float32Array.from({ length: 256 }, (_, code) => (code / 255) ** 2);

/** Code of a weight, the inverse of WEIGHT8; never 0 for a weight above 0. */
export function code8(weight: number): number {
  if (!(weight > 0)) return 0;
  return Math.max(1, Math.min(255, Math.round(255 * Math.sqrt(weight))));
}
