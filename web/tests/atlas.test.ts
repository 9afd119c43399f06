import { describe, expect, it } from 'vitest';
import { cellAt, grid, Heads, labels, shade, shorten, tile } from '../src/core/atlas';
import { layer, payload } from './made';

const heads = new Heads(payload(), [Float32Array.from([1, Number.NaN, 3]), Float32Array.from([2, 0.5])]);
const measure = (text: string): number => 7 * text.length;

describe('Heads', () => {
  it('reads statistics and effects', () => {
    expect(heads.value('stat:entropy', 1, 1)).toBe(0.5);
    expect(heads.value('effect', 1, 0)).toBe(0.3);
    expect(heads.value('effect', 0, 1)).toBeNaN();
    expect(heads.value('stat:other', 0, 0)).toBeNaN();
    expect(new Heads(payload(), [null, null]).value('stat:entropy', 0, 0)).toBeNaN();
  });
  it('gives ranges: of a statistic its own, of an effect even around 0', () => {
    expect(heads.range('stat:entropy')).toEqual([0.5, 3]);
    expect(heads.range('effect')).toEqual([-0.4, 0.4]);
    expect(new Heads(payload({ effects: null }), [null, null]).range('effect')).toEqual([0, 0]);
  });
  it('orders by number, by statistic, by size of effect; what is not defined comes last', () => {
    expect(heads.order(0, 'number')).toEqual([0, 1, 2]);
    expect(heads.order(0, 'stat:entropy')).toEqual([2, 0, 1]);
    expect(heads.order(0, 'effect')).toEqual([0, 2, 1]);
    expect(heads.order(9, 'number')).toEqual([]);
  });
  it('filters by role and by least effect of either sign', () => {
    expect(heads.roles()).toEqual(['induction', 'sink']);
    expect(heads.passes(0, 1, '', 0)).toBe(true);
    expect(heads.passes(0, 1, '', 0.01)).toBe(false);
    expect(heads.passes(0, 0, 'sink', 0.4)).toBe(true);
    expect(heads.passes(0, 0, 'induction', 0)).toBe(false);
  });
  it('ranks measured heads and keeps the random ones apart', () => {
    expect(heads.ranked().map((r) => [r.layer, r.head])).toEqual([[0, 0], [1, 0]]);
    expect(heads.control().map((r) => [r.layer, r.head])).toEqual([[0, 2]]);
    expect(new Heads(payload({ effects: null }), [null, null]).ranked()).toEqual([]);
  });
  it('lists every head in the table, or those that pass', () => {
    const all = heads.table();
    expect(all.rows).toHaveLength(5);
    expect(all.rows[1]!.slice(0, 4)).toEqual(['layer 0', 1, null, null]);
    const some = heads.table('sink', 0.35);
    expect(some.caption).toBe('Every head that passes the filters: 1 of 5');
    expect(some.rows[0]!.slice(0, 2)).toEqual(['layer 0', 0]);
    for (const row of all.rows) expect(row).toHaveLength(all.columns.length);
  });
});

describe('grid', () => {
  const g = grid(500, 2, 3, 60);
  it('finds the cell under a point', () => {
    expect(g.step).toBe(104);
    expect(cellAt(g, 61, 25)).toEqual({ row: 0, column: 0 });
    expect(cellAt(g, 60 + 2.5 * 104, 24 + 104)).toEqual({ row: 1, column: 2 });
    expect(cellAt(g, 59, 30)).toBeNull();
    expect(cellAt(g, 60 + 3 * 104, 30)).toBeNull();
  });
  it('keeps cells large enough to hit', () => expect(grid(300, 32, 32, 60).step).toBe(12));
  it('writes names that do not touch', () => {
    const many = payload({ layers: Array.from({ length: 40 }, (_, l) => layer(`layer ${l}`, 40)) });
    const small = grid(600, 40, 40, 80);
    const shapes = labels(small, many, 'number', measure, '#000', '#555').filter((s) => s.kind === 'text');
    const above = shapes.filter((s) => s.y === 15);
    above.forEach((s, i) => i && expect(s.x - above[i - 1]!.x).toBeGreaterThanOrEqual(measure('40')));
    const left = shapes.filter((s) => s.y !== 15);
    left.forEach((s, i) => i && expect(s.y - left[i - 1]!.y).toBeGreaterThanOrEqual(14));
    expect(labels(small, many, 'effect', measure, '#000', '#555').some((s) => s.kind === 'text' && s.text.startsWith('largest first'))).toBe(true);
  });
});

it('draws the largest cell under each pixel of a thumbnail', () => {
  const ramp = Uint32Array.from({ length: 256 }, (_, i) => i);
  const into = new Uint32Array(4);
  tile(Uint8Array.from([0, 9, 1, 2, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 4]), 0, 4, 4, 2, ramp, into, 2, 0, 0);
  expect([...into]).toEqual([9, 2, 3, 4]);
});

it('shades numbers, and nothing where there is none', () => {
  expect(shade('effect', Number.NaN, [-1, 1], 'light')).toBeNull();
  expect(shade('effect', 0, [-1, 1], 'light')).toBe('#e2e2e7');
  expect(shade('effect', 0, [0, 0], 'dark')).toBe('#3e3e46');
  expect(shade('stat:entropy', 2, [2, 2], 'light')).toMatch(/^#[0-9a-f]{6}$/);
});

it('cuts names to a width', () => {
  expect(shorten('layer 12', 100, measure)).toBe('layer 12');
  expect(shorten('decoder block 12', 56, measure)).toBe('decoder…');
});
