export interface Edge {
  /** Read by layer `layer` from the state below it. */
  layer: number;
  /** The position whose new state is made, and the one it reads. */
  to: number;
  from: number;
  mass: number;
}

/** Relevance of each position at each depth: r[layers] is 1 at the target, r[l] = r[l + 1] C[l]. */
export function relevance(contributions: Float32Array, layers: number, n: number, target: number): Float64Array[] {
  const all: Float64Array[] = Array.from({ length: layers + 1 }, () => new Float64Array(n));
  all[layers]![target] = 1;
  for (let l = layers - 1; l >= 0; l--) {
    const above = all[l + 1]!;
    const below = all[l]!;
    for (let i = 0; i < n; i++) {
      const share = above[i]!;
      if (share === 0) continue;
      const line = (l * n + i) * n;
      for (let j = 0; j < n; j++) below[j] = below[j]! + share * contributions[line + j]!;
    }
  }
  return all;
}

export interface Picture {
  /** Heaviest last, so that it is drawn on top. */
  edges: Edge[];
  /** Share of the target that does not reach the input along drawn edges alone. */
  hidden: number;
}

export function edgesAbove(
  contributions: Float32Array,
  shares: Float64Array[],
  n: number,
  threshold: number,
): Picture {
  const layers = shares.length - 1;
  const edges: Edge[] = [];
  let kept = Float64Array.from(shares[layers]!);
  for (let l = layers - 1; l >= 0; l--) {
    const next = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      const share = shares[l + 1]![i]!;
      if (share <= threshold) continue;
      const line = (l * n + i) * n;
      for (let j = 0; j < n; j++) {
        const part = contributions[line + j]!;
        const mass = share * part;
        if (mass <= threshold) continue;
        edges.push({ layer: l, to: i, from: j, mass });
        next[j] = next[j]! + kept[i]! * part;
      }
    }
    kept = next;
  }
  edges.sort((a, b) => a.mass - b.mass);
  return { edges, hidden: Math.max(0, 1 - kept.reduce((a, b) => a + b, 0)) };
}

export const THRESHOLDS = [0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.015, 0.01, 0.007, 0.005, 0.003, 0.002, 0.001, 0.0005];

/** The highest threshold that hides at most a third, unless that takes too many lines or positions to read. */
export function startThreshold(contributions: Float32Array, shares: Float64Array[], n: number): number {
  let chosen = 0;
  for (let at = 0; at < THRESHOLDS.length; at++) {
    const picture = edgesAbove(contributions, shares, n, THRESHOLDS[at]!);
    const positions = new Set(picture.edges.flatMap((e) => [e.from, e.to]));
    if (at && (picture.edges.length > 400 || positions.size > 48)) break;
    chosen = at;
    if (picture.hidden <= 0.34) break;
  }
  return chosen;
}

/** The largest sources of a position's state after layer `depth` (1 for the first layer). */
export function sources(contributions: Float32Array, n: number, depth: number, position: number, count = 5): { from: number; share: number }[] {
  if (depth === 0) return [];
  const line = ((depth - 1) * n + position) * n;
  const found: { from: number; share: number }[] = [];
  for (let j = 0; j < n; j++) if (contributions[line + j]! > 0) found.push({ from: j, share: contributions[line + j]! });
  return found.sort((a, b) => b.share - a.share || a.from - b.from).slice(0, count);
}
