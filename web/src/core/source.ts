import type { Payload, Source } from './contract';

/** Bytes of base64 text, white space allowed. */
export function base64(text: string): Uint8Array {
  const native = (Uint8Array as unknown as { fromBase64?: (text: string) => Uint8Array }).fromBase64;
  if (native) return native.call(Uint8Array, text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** The payload and the arrays that a static page carries. Nothing is decoded before it is asked for. */
export function inline(page: Document): Source {
  const holder = page.getElementById('whence-attention-data');
  if (!holder) throw new Error('The page has no element #whence-attention-data.');
  const payload = JSON.parse(holder.textContent ?? '') as Payload;
  if (payload.version !== 1) {
    throw new Error(`These views read version 1 of the data; the page holds ${payload.version}.`);
  }
  return {
    payload,
    async bytes(ref) {
      const found = page.getElementById(`w-${ref}`);
      if (!found) throw new Error(`The page holds no array "${ref}".`);
      return base64(found.textContent ?? '');
    },
  };
}
