/** Which parts of a long text are shown. */

export interface Part {
  start: number;
  end: number;
}

/** Texts up to this many tokens are shown whole. */
export const WHOLE = 320;

/** `size` places around `centre`, or everything where the text is short. */
export function around(count: number, centre: number, size: number): Part[] {
  if (count <= WHOLE) return [{ start: 0, end: count }];
  const start = Math.max(0, Math.min(count - size, centre - Math.floor(size / 2)));
  return [{ start, end: Math.min(count, start + size) }];
}

/** A few places around each position, joined where they touch; everything where the text is short. */
export function excerpts(count: number, positions: number[], margin = 5): Part[] {
  if (count <= WHOLE) return [{ start: 0, end: count }];
  const parts: Part[] = [];
  for (const at of [...positions].sort((a, b) => a - b)) {
    const start = Math.max(0, at - margin);
    const end = Math.min(count, at + margin + 1);
    const last = parts[parts.length - 1];
    if (last && start <= last.end + 2) last.end = Math.max(last.end, end);
    else parts.push({ start, end });
  }
  return parts;
}

export function within(parts: Part[], at: number): boolean {
  return parts.some((p) => at >= p.start && at < p.end);
}
