import { describe, expect, it } from 'vitest';
import { edgesAbove, relevance, sources, startThreshold, THRESHOLDS } from '../src/core/flow';
import { random } from './made';

function contributions(layers: number, n: number): Float32Array {
  const next = random();
  const data = new Float32Array(layers * n * n);
  for (let line = 0; line < layers * n; line++) {
    const end = (line % n) + 1;
    const values = Array.from({ length: end }, next);
    const total = values.reduce((a, b) => a + b, 0);
    values.forEach((v, j) => (data[line * n + j] = v / total));
  }
  return data;
}
const [layers, n, target] = [3, 7, 5];
const data = contributions(layers, n);
const shares = relevance(data, layers, n, target);
const sum = (values: Float64Array) => values.reduce((a, b) => a + b, 0);

describe('relevance', () => {
  it('sums to 1 at every depth', () => {
    for (const depth of shares) expect(sum(depth)).toBeCloseTo(1, 5);
    expect(shares[layers]![target]).toBe(1);
  });
  it('is the product of the matrices', () => {
    let row: number[] = Array.from({ length: n }, (_, i) => (i === target ? 1 : 0));
    for (let l = layers - 1; l >= 0; l--) {
      row = row.map((_, j) => row.reduce((total, share, i) => total + share * data[(l * n + i) * n + j]!, 0));
      row.forEach((share, j) => expect(shares[l]![j]).toBeCloseTo(share, 6));
    }
  });
});

describe('edgesAbove', () => {
  it('hides nothing at threshold 0', () => expect(edgesAbove(data, shares, n, 0).hidden).toBeCloseTo(0, 5));
  it('hides all where no line is drawn', () => expect(edgesAbove(data, shares, n, 1)).toEqual({ edges: [], hidden: 1 }));
  it('hides more as the threshold rises, and draws the heaviest last', () => {
    let before = 0;
    for (const threshold of [...THRESHOLDS].reverse()) {
      const { edges, hidden } = edgesAbove(data, shares, n, threshold);
      expect(hidden).toBeGreaterThanOrEqual(before - 1e-9);
      before = hidden;
      edges.forEach((e, i) => expect(e.mass).toBeGreaterThanOrEqual(edges[i - 1]?.mass ?? threshold));
    }
  });
  it('counts only the mass that whole drawn paths carry', () => {
    // Target 1 takes half of itself; below, position 1 takes all from 0, position 0 from itself.
    const two = Float32Array.from([1, 0, 1, 0, 1, 0, 0.4, 0.6]);
    const { edges, hidden } = edgesAbove(two, relevance(two, 2, 2, 1), 2, 0.5);
    expect(edges).toHaveLength(2);
    expect(hidden).toBeCloseTo(0.4, 6);
  });
});

it('starts where at most a third is hidden', () => {
  expect(edgesAbove(data, shares, n, THRESHOLDS[startThreshold(data, shares, n)]!).hidden).toBeLessThanOrEqual(0.34);
});
it('starts with few positions where the mass is spread thin', () => {
  const wide = new Float32Array(100 * 100).fill(0.01);
  expect(edgesAbove(wide, relevance(wide, 1, 100, 0), 100, THRESHOLDS[startThreshold(wide, relevance(wide, 1, 100, 0), 100)]!).edges).toEqual([]);
});
it('lists the largest sources of a state', () => {
  const found = sources(data, n, layers, target, 3);
  expect(found).toHaveLength(3);
  expect(found[0]!.share).toBe(Math.max(...data.subarray(((layers - 1) * n + target) * n, ((layers - 1) * n + target + 1) * n)));
  expect(sources(data, n, 0, target)).toEqual([]);
});
