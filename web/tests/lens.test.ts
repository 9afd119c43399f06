import { describe, expect, it } from 'vitest';
import { code8 } from '../src/core/decode';
import { LensData, score, select } from '../src/core/lens';
import { layer } from './made';

const sixteen = (weights: number[]) => Uint16Array.from(weights, (w) => Math.round(65535 * w));
/** Two queries over four keys, the two heaviest kept. */
const kept = new LensData(2, 4, 2, new Uint16Array([0, 2, 1, 1]), sixteen([0.6, 0.3, 1, 0]), new Float32Array([0.9, 1]), null, null);
const rows = [0.6, 0.05, 0.3, 0.05, 0, 1, 0, 0];
const whole = new LensData(2, 4, 2, new Uint16Array([0, 2, 1, 1]), sixteen([0.6, 0.3, 1, 0]), new Float32Array([0.9, 1]), Uint8Array.from(rows, code8), null);

describe('row', () => {
  it('leaves out the padding of short rows', () => expect(kept.row(1).entries).toEqual([{ key: 1, weight: 1, bits: 16 }]));
  it('takes the heaviest keys in 16 bits and the others in 8', () => {
    const row = whole.row(0);
    expect(row.entries.map((e) => [e.key, e.bits])).toEqual([[0, 16], [2, 16], [1, 8], [3, 8]]);
    expect(row.entries.reduce((sum, e) => sum + e.weight, 0)).toBeCloseTo(1, 2);
    expect(row.complete).toBe(true);
  });
  it('reads a whole head from an overview that has a cell for every pair', () => {
    const row = LensData.exact(layer('layer 0', 1, { queries: 2, keys: 4 }), Uint8Array.from(rows, code8)).row(0);
    expect(row.entries.map((e) => [e.key, e.bits])).toEqual([[0, 8], [2, 8], [1, 8], [3, 8]]);
    expect(row.complete).toBe(true);
  });
  it('means over several queries', () => {
    const mean = whole.mean([0, 1]);
    expect(mean.entries[0]!.key).toBe(1);
    expect(mean.entries[0]!.weight).toBeCloseTo(0.525, 2);
    expect(mean.entries.reduce((sum, e) => sum + e.weight, 0)).toBeCloseTo(1, 2);
    expect(mean.captured).toBeCloseTo(0.95, 6);
    expect(whole.mean([1])).toEqual(whole.row(1));
  });
});

describe('select', () => {
  it('takes the heaviest keys until the mass is reached', () => {
    const one = select(whole.row(0), 0.6, false);
    expect(one.entries.map((e) => e.key)).toEqual([0]);
    expect(one.left).toBeCloseTo(0.4, 4);
    expect(select(whole.row(0), 0.9, false).entries).toHaveLength(2);
  });
  it('hides nothing where every key of a whole row is drawn', () => {
    const all = select(whole.row(0), 1, false);
    expect(all.entries).toHaveLength(4);
    expect([all.left, all.short]).toEqual([0, false]);
  });
  it('says when the keys kept do not reach the mass', () => {
    const short = select(kept.row(0), 0.97, false);
    expect(short.short).toBe(true);
    expect(short.left).toBeCloseTo(0.1, 4);
  });
  it('takes the sink out and rescales the rest', () => {
    const without = select(whole.row(0), 0.7, true);
    expect(without.hidden).toBeCloseTo(0.6, 4);
    expect(without.entries.map((e) => e.key)).toEqual([2]);
    expect(without.entries[0]!.share).toBeCloseTo(0.75, 4);
    expect(without.left).toBeCloseTo(0.7, 4);
    expect(select(whole.row(0), 1, true).left).toBeCloseTo(0.6, 4);
  });
  it('knows no sink where position 0 was not kept', () => {
    expect(select(kept.row(1), 0.9, true).sink).toBeNaN();
    expect(select(whole.row(1), 0.9, false).sink).toBe(0);
  });
});

describe('score', () => {
  it('adds up to query times key, scaled', () => {
    const query = Float32Array.from([1, -2, 3, 0.5]);
    const key = Float32Array.from([0, 0, 0, 0, 2, 1, 1, 4]);
    const found = score({ query, key, valueNorm: Float32Array.from([1, 7]), scaling: 0.5, size: 4 }, 0, 1, 2);
    expect(found.score).toBeCloseTo(0.5 * (2 - 2 + 3 + 2), 6);
    expect(found.products.map((p) => p.dimension)).toEqual([2, 0]);
    expect(found.products.reduce((sum, p) => sum + p.product, found.rest)).toBeCloseTo(found.score, 6);
    expect(found.valueNorm).toBe(7);
  });
});
