import { describe, expect, it } from 'vitest';
import { Arrays, code8, decode, WEIGHT8 } from '../src/core/decode';
import { base64 } from '../src/core/source';
import { packed, payload } from './made';

describe('decode', () => {
  it('reads little-endian numbers of every type', () => {
    expect([...decode(new Uint8Array([1, 255]), packed('u8', [2]))]).toEqual([1, 255]);
    expect([...decode(new Uint8Array([1, 2, 255, 255]), packed('u16', [2]))]).toEqual([513, 65535]);
    expect([...decode(new Uint8Array([0, 0, 1, 0]), packed('u32', [1]))]).toEqual([65536]);
    expect([...decode(new Uint8Array([0, 0, 128, 63, 0, 0, 192, 127]), packed('f32', [2]))]).toEqual([1, Number.NaN]);
  });
  it('reads numbers that do not start at a multiple of their size', () => {
    const bytes = new Uint8Array([9, 1, 2, 3, 4]).subarray(1);
    expect([...decode(bytes, packed('u16', [2]))]).toEqual([513, 1027]);
  });
  it('refuses bytes that do not fit the shape', () => {
    expect(() => decode(new Uint8Array(3), packed('u16', [2], 'x'))).toThrow(/"x" has 3 bytes; its shape 2 needs 4/);
  });
  it('turns codes into weights and back', () => {
    for (let code = 0; code < 256; code++) expect(code8(WEIGHT8[code]!)).toBe(code);
    expect(code8(1e-12)).toBe(1);
    expect(code8(0)).toBe(0);
    expect(code8(Number.NaN)).toBe(0);
    expect(code8(1.0001)).toBe(255);
  });
  it('reads base64 with line breaks', () => expect([...base64('AQI\nD')]).toEqual([1, 2, 3]));
});

describe('Arrays', () => {
  const source = (log: string[]) => ({ payload: payload(), bytes: async (ref: string) => (log.push(ref), new Uint8Array(4)) });
  it('fetches each array once', async () => {
    const log: string[] = [];
    const arrays = new Arrays(source(log));
    await arrays.get(packed('u8', [4], 'a'));
    await arrays.get(packed('u8', [2, 2], 'a'));
    expect(log).toEqual(['a']);
  });
  it('lets the one used longest ago go when the budget is passed', async () => {
    const log: string[] = [];
    const arrays = new Arrays(source(log), 8);
    for (const ref of ['a', 'b', 'a', 'c', 'a', 'b']) await arrays.get(packed('u8', [4], ref));
    expect(log).toEqual(['a', 'b', 'c', 'b']);
  });
  it('asks again after a failure', async () => {
    let calls = 0;
    const arrays = new Arrays({ payload: payload(), bytes: async () => (calls++ ? new Uint8Array(1) : Promise.reject(new Error('gone'))) });
    await expect(arrays.get(packed('u8', [1]))).rejects.toThrow('gone');
    expect(await arrays.get(packed('u8', [1]))).toEqual(new Uint8Array(1));
  });
});
