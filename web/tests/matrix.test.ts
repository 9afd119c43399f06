import { describe, expect, it } from 'vitest';
import { WEIGHT8 } from '../src/core/decode';
import { clamp, edge, greatestZoom, marginals, paint, pan, Pyramid, zoomAt } from '../src/core/matrix';
import { random } from './made';

const ramp = Uint32Array.from({ length: 256 }, (_, i) => i + 1);
function matrix(rows: number, columns: number): Uint8Array {
  const next = random(rows * 31 + columns);
  return Uint8Array.from({ length: rows * columns }, () => Math.floor(256 * next()));
}

describe('Pyramid', () => {
  it('holds the maxima of blocks, odd sides included', () => {
    const [rows, columns] = [130, 77];
    const data = matrix(rows, columns);
    const { levels } = new Pyramid(data, rows, columns);
    expect(levels.map((l) => [l.rows, l.columns])).toEqual([[130, 77], [65, 39], [33, 20]]);
    for (const [at, level] of levels.entries()) {
      const block = 2 ** at;
      for (let i = 0; i < level.rows; i++) {
        for (let j = 0; j < level.columns; j++) {
          let most = 0;
          for (let r = i * block; r < Math.min(rows, (i + 1) * block); r++) {
            for (let c = j * block; c < Math.min(columns, (j + 1) * block); c++) most = Math.max(most, data[r * columns + c]!);
          }
          expect(level.data[i * level.columns + j]).toBe(most);
        }
      }
    }
  });
});

describe('paint', () => {
  it('shows each cell when zoomed in', () => {
    const data = matrix(5, 4);
    const into = new Uint32Array(12 * 10);
    paint(new Pyramid(data, 5, 4), { row: 1, column: 1, rowsPerPixel: 0.4, columnsPerPixel: 0.25 }, 12, 10, ramp, into);
    for (let y = 0; y < 10; y++) {
      for (let x = 0; x < 12; x++) {
        const [r, c] = [Math.floor(1 + y * 0.4 + 1e-6), Math.floor(1 + x * 0.25 + 1e-6)];
        expect(into[y * 12 + x]).toBe(ramp[data[r * 4 + c]!]);
      }
    }
  });
  it.each([[256, 256, 64, 64], [200, 320, 50, 80], [128, 128, 128, 128]])('shows the largest of %i x %i cells on %i rows, %i columns', (rows, columns, high, wide) => {
    const data = matrix(rows, columns);
    const into = new Uint32Array(high * wide);
    const [a, b] = [rows / high, columns / wide];
    paint(new Pyramid(data, rows, columns), { row: 0, column: 0, rowsPerPixel: a, columnsPerPixel: b }, wide, high, ramp, into);
    for (let y = 0; y < high; y++) {
      for (let x = 0; x < wide; x++) {
        let most = 0;
        for (let r = y * a; r < (y + 1) * a; r++) for (let c = x * b; c < (x + 1) * b; c++) most = Math.max(most, data[r * columns + c]!);
        expect(into[y * wide + x]).toBe(ramp[most]);
      }
    }
  });
  it('loses no single weight at a scale between two levels', () => {
    const data = new Uint8Array(300 * 300);
    data[123 * 300 + 217] = 200;
    const into = new Uint32Array(70 * 70);
    paint(new Pyramid(data, 300, 300), { row: 0, column: 0, rowsPerPixel: 300 / 70, columnsPerPixel: 300 / 70 }, 70, 70, ramp, into);
    expect(Math.max(...into)).toBe(201);
    expect(into[Math.floor((123 * 70) / 300) * 70 + Math.floor((217 * 70) / 300)]).toBe(201);
  });
  it('leaves what lies outside clear', () => {
    const into = new Uint32Array(16).fill(9);
    paint(new Pyramid(matrix(2, 2), 2, 2), { row: -1, column: -1, rowsPerPixel: 1, columnsPerPixel: 1 }, 4, 4, ramp, into);
    expect([...into].map((v) => (v ? 1 : 0)).join('')).toBe('0000' + '0110' + '0110' + '0000');
  });
});

it('starts the blocks of a thumbnail where Python does', () => {
  for (const [cells, positions] of [[64, 100], [64, 64], [7, 20]] as const) {
    for (let i = 0; i < positions; i++) {
      const cell = Math.floor((i * cells) / positions);
      expect(edge(cell, cells, positions)).toBeLessThanOrEqual(i);
      expect(edge(cell + 1, cells, positions)).toBeGreaterThan(i);
    }
  }
});

it('means columns over the rows that may read them', () => {
  const found = marginals(Uint8Array.from([255, 0, 0, 255]), 2, 2, true);
  expect([...found.rows]).toEqual([1, 1]);
  expect([...found.columns]).toEqual([0.5, 1]);
  expect(marginals(Uint8Array.from([10, 20]), 1, 2, false).rows[0]).toBe(WEIGHT8[20]);
});

describe('camera', () => {
  const plot = { width: 400, height: 400, rows: 100, columns: 100 };
  it('keeps the cell under the pointer when zooming', () => {
    const before = { zoom: 2, row: 20, column: 30 };
    const after = zoomAt(before, plot, 1.7, 120, 260);
    const at = (c: typeof before) => [c.row + (260 / 400) * (100 / c.zoom), c.column + (120 / 400) * (100 / c.zoom)];
    at(after).forEach((v, i) => expect(v).toBeCloseTo(at(before)[i]!, 9));
  });
  it('stays on the matrix', () => {
    expect(clamp({ zoom: 0.2, row: -5, column: 200 }, plot)).toEqual({ zoom: 1, row: 0, column: 0 });
    expect(zoomAt({ zoom: 1, row: 0, column: 0 }, plot, 1e9, 400, 400).zoom).toBe(greatestZoom(plot));
    expect(pan({ zoom: 2, row: 10, column: 10 }, plot, 8, -1e5)).toEqual({ zoom: 2, row: 50, column: 9 });
  });
});
