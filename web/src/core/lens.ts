import type { Layer, Lens } from './contract';
import { type Arrays, WEIGHT8 } from './decode';

export interface Entry {
  key: number;
  weight: number;
  /** How the number is stored: 16 bits (heaviest keys) or 8 bits (full matrix). */
  bits: 8 | 16;
}

/** One query's weights, or the mean of several queries', heaviest first. */
export interface Row {
  entries: Entry[];
  /** Mass of the 16-bit entries, in float32. */
  captured: number;
  /** All keys are known, not only the heaviest. */
  complete: boolean;
}

export interface States {
  query: Float32Array;
  key: Float32Array;
  valueNorm: Float32Array;
  scaling: number;
  size: number;
}

/** What was kept of one head, decoded. */
export class LensData {
  constructor(
    readonly queries: number,
    readonly keys: number,
    private readonly top: number,
    private readonly topKeys: Uint16Array | Uint32Array,
    private readonly topWeights: Uint16Array,
    private readonly captured: Float32Array,
    readonly full: Uint8Array | null,
    readonly states: States | null,
  ) {}

  static async load(arrays: Arrays, layer: Layer, lens: Lens): Promise<LensData> {
    const [keys, weights, captured, full] = await Promise.all([
      arrays.get(lens.keys),
      arrays.get(lens.weights),
      arrays.get(lens.captured),
      lens.full ? arrays.get(lens.full) : null,
    ]);
    let states: States | null = null;
    if (lens.states) {
      const { query, key, valueNorm, scaling } = lens.states;
      const [q, k, v] = await Promise.all([arrays.get(query), arrays.get(key), arrays.get(valueNorm)]);
      states = {
        query: q as Float32Array,
        key: k as Float32Array,
        valueNorm: v as Float32Array,
        scaling,
        size: query.shape[1] ?? 0,
      };
    }
    return new LensData(
      layer.queries,
      layer.keys,
      lens.keys.shape[1] ?? 0,
      keys as Uint16Array | Uint32Array,
      weights as Uint16Array,
      captured as Float32Array,
      full as Uint8Array | null,
      states,
    );
  }

  /** A head of which every weight is known in 8 bits, and nothing more. */
  static exact(layer: Layer, codes: Uint8Array): LensData {
    const none = new Uint16Array(0);
    return new LensData(layer.queries, layer.keys, 0, none, none, new Float32Array(layer.queries).fill(1), codes, null);
  }

  row(query: number): Row {
    const entries: Entry[] = [];
    const known = new Set<number>();
    for (let t = query * this.top; t < (query + 1) * this.top; t++) {
      const key = this.topKeys[t]!;
      const weight = this.topWeights[t]! / 65535;
      // Padding where a row has fewer keys than places: weight 0, or a key named twice.
      if (weight === 0 || known.has(key)) continue;
      known.add(key);
      entries.push({ key, weight, bits: 16 });
    }
    if (this.full) {
      const start = query * this.keys;
      for (let key = 0; key < this.keys; key++) {
        const code = this.full[start + key]!;
        if (code && !known.has(key)) entries.push({ key, weight: WEIGHT8[code]!, bits: 8 });
      }
      entries.sort((a, b) => b.weight - a.weight || a.key - b.key);
    }
    return { entries, captured: this.captured[query] ?? 0, complete: this.full !== null };
  }

  /** The mean of several queries' weights; a key that a query did not keep counts as 0 in it. */
  mean(queries: number[]): Row {
    if (queries.length === 1) return this.row(queries[0]!);
    const sums = new Map<number, Entry>();
    let captured = 0;
    for (const query of queries) {
      const row = this.row(query);
      captured += row.captured / queries.length;
      for (const { key, weight, bits } of row.entries) {
        const sum = sums.get(key) ?? { key, weight: 0, bits: 16 };
        sum.weight += weight / queries.length;
        if (bits === 8) sum.bits = 8;
        sums.set(key, sum);
      }
    }
    const entries = [...sums.values()].sort((a, b) => b.weight - a.weight || a.key - b.key);
    return { entries, captured, complete: this.full !== null };
  }
}

export interface Selection {
  /** The keys drawn, heaviest first; `share` is the weight after the sink is taken out, if it is. */
  entries: (Entry & { share: number })[];
  /** Share of the row's mass that is drawn, of what is left after hiding the sink. */
  shown: number;
  /** Share of the row's mass on position 0. NaN: not among the keys kept. */
  sink: number;
  /** Share of the row's mass taken out of the picture by hiding the sink. */
  hidden: number;
  /** Share of the row's whole mass that is not drawn, the hidden sink included. */
  left: number;
  /** The keys kept do not reach the mass asked for. */
  short: boolean;
}

/** The heaviest keys until `mass` of the row is reached. */
export function select(row: Row, mass: number, hideSink: boolean): Selection {
  const first = row.entries.find((entry) => entry.key === 0);
  const sink = first ? first.weight : row.complete ? 0 : Number.NaN;
  const hidden = hideSink && first ? first.weight : 0;
  const rest = Math.max(1e-9, 1 - hidden);
  const entries: Selection['entries'] = [];
  let shown = 0;
  for (const entry of row.entries) {
    if (shown >= mass - 1e-6) break;
    if (hidden && entry.key === 0) continue;
    const share = Math.min(1, entry.weight / rest);
    entries.push({ ...entry, share });
    shown += share;
  }
  shown = Math.min(1, shown);
  // 8-bit weights need not add up to 1; a row drawn whole hides only the sink.
  const whole = row.complete && entries.length === row.entries.length - (hidden ? 1 : 0);
  const left = whole ? hidden : Math.max(0, 1 - shown * (1 - hidden));
  return { entries, shown, sink, hidden, left, short: !whole && shown < mass - 0.005 };
}

export interface Product {
  dimension: number;
  product: number;
}

export interface Score {
  score: number;
  products: Product[];
  /** Sum of the products that are not listed. */
  rest: number;
  valueNorm: number;
}

/** The score before the softmax, and the dimensions that make most of it. */
export function score(states: States, query: number, key: number, count = 8): Score {
  const products: Product[] = [];
  let total = 0;
  for (let d = 0; d < states.size; d++) {
    const product =
      states.scaling * states.query[query * states.size + d]! * states.key[key * states.size + d]!;
    products.push({ dimension: d, product });
    total += product;
  }
  products.sort((a, b) => Math.abs(b.product) - Math.abs(a.product) || a.dimension - b.dimension);
  const top = products.slice(0, count);
  const rest = total - top.reduce((sum, p) => sum + p.product, 0);
  return { score: total, products: top, rest, valueNorm: states.valueNorm[key] ?? Number.NaN };
}
