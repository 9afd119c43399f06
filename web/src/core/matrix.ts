import { WEIGHT8 } from './decode';

/** An 8-bit matrix with its maxima over blocks of 2, 4, 8, ... cells. */
export class Pyramid {
  readonly levels: { data: Uint8Array; rows: number; columns: number }[];

  constructor(data: Uint8Array, rows: number, columns: number) {
    this.levels = [{ data, rows, columns }];
    while (Math.max(rows, columns) > 64) {
      const below = this.levels[this.levels.length - 1]!;
      const r = Math.ceil(below.rows / 2);
      const c = Math.ceil(below.columns / 2);
      const next = new Uint8Array(r * c);
      for (let i = 0; i < r; i++) {
        const a = 2 * i * below.columns;
        const b = 2 * i + 1 < below.rows ? a + below.columns : a;
        for (let j = 0, k = 0; j < c; j++, k += 2) {
          let most = below.data[a + k]!;
          const low = below.data[b + k]!;
          if (low > most) most = low;
          if (k + 1 < below.columns) {
            const right = below.data[a + k + 1]!;
            if (right > most) most = right;
            const corner = below.data[b + k + 1]!;
            if (corner > most) most = corner;
          }
          next[i * c + j] = most;
        }
      }
      this.levels.push({ data: next, rows: r, columns: c });
      rows = r;
      columns = c;
    }
  }

  get rows(): number {
    return this.levels[0]!.rows;
  }

  get columns(): number {
    return this.levels[0]!.columns;
  }
}

/** The part of a matrix on screen: its corner in cells, and cells per pixel each way. */
export interface Window {
  row: number;
  column: number;
  rowsPerPixel: number;
  columnsPerPixel: number;
}

/** Pixels of a window: the cell itself when zoomed in, the largest cell under a pixel when out. */
export function paint(
  pyramid: Pyramid,
  window: Window,
  width: number,
  height: number,
  ramp: Uint32Array,
  into: Uint32Array,
): void {
  const step = Math.min(window.rowsPerPixel, window.columnsPerPixel);
  const wanted = Math.max(0, Math.floor(Math.log2(Math.max(1, step))));
  const at = Math.min(wanted, pyramid.levels.length - 1);
  const { data, rows, columns } = pyramid.levels[at]!;
  const block = 2 ** at;
  const from = new Int32Array(width);
  const to = new Int32Array(width);
  for (let x = 0; x < width; x++) {
    const left = window.column + x * window.columnsPerPixel;
    from[x] = Math.floor((left + 1e-6) / block);
    to[x] = Math.min(columns - 1, Math.max(from[x]!, Math.ceil((left + window.columnsPerPixel - 1e-6) / block) - 1));
    if (window.columnsPerPixel < 1) to[x] = Math.min(columns - 1, from[x]!);
    if (from[x]! < 0) from[x] = columns;
  }
  const outside = 0;
  let before = -1;
  let last = -1;
  for (let y = 0; y < height; y++) {
    const top = window.row + y * window.rowsPerPixel;
    const first = Math.floor((top + 1e-6) / block);
    let end = Math.max(first, Math.ceil((top + window.rowsPerPixel - 1e-6) / block) - 1);
    if (window.rowsPerPixel < 1) end = first;
    end = Math.min(rows - 1, end);
    const base = y * width;
    if (first < 0 || first >= rows) {
      into.fill(outside, base, base + width);
      continue;
    }
    if (first === before && end === last && y > 0) {
      into.copyWithin(base, base - width, base);
      continue;
    }
    before = first;
    last = end;
    for (let x = 0; x < width; x++) {
      const a = from[x]!;
      if (a >= columns) {
        into[base + x] = outside;
        continue;
      }
      const b = to[x]!;
      let most = 0;
      for (let i = first; i <= end; i++) {
        const line = i * columns;
        for (let j = a; j <= b; j++) {
          const code = data[line + j]!;
          if (code > most) most = code;
        }
      }
      into[base + x] = ramp[most]!;
    }
  }
}

/** First position of a cell of a thumbnail, as the thumbnails are made. */
export function edge(cell: number, cells: number, positions: number): number {
  return Math.ceil((cell * positions) / cells);
}

export interface Marginals {
  /** Largest weight of each row. */
  rows: Float32Array;
  /** Mean weight that each column receives, over the rows that may read it. */
  columns: Float32Array;
}

export function marginals(data: Uint8Array, rows: number, columns: number, causal: boolean): Marginals {
  const largest = new Float32Array(rows);
  const sums = new Float64Array(columns);
  const offset = columns - rows;
  for (let i = 0; i < rows; i++) {
    const line = i * columns;
    let most = 0;
    for (let j = 0; j < columns; j++) {
      const code = data[line + j]!;
      if (code === 0) continue;
      if (code > most) most = code;
      sums[j] = sums[j]! + WEIGHT8[code]!;
    }
    largest[i] = WEIGHT8[most]!;
  }
  const means = new Float32Array(columns);
  for (let j = 0; j < columns; j++) {
    const readers = causal ? Math.min(rows, Math.max(1, rows - Math.max(0, j - offset))) : rows;
    means[j] = sums[j]! / readers;
  }
  return { rows: largest, columns: means };
}

/** A zoomed view of rows x columns cells on a plot of width x height pixels. */
export interface Camera {
  zoom: number;
  row: number;
  column: number;
}

export interface Plot {
  width: number;
  height: number;
  rows: number;
  columns: number;
}

export function greatestZoom(plot: Plot): number {
  const cell = Math.min(plot.width / plot.columns, plot.height / plot.rows);
  return Math.max(1, 48 / cell);
}

export function clamp(camera: Camera, plot: Plot): Camera {
  const zoom = Math.min(greatestZoom(plot), Math.max(1, camera.zoom));
  return {
    zoom,
    row: Math.min(plot.rows - plot.rows / zoom, Math.max(0, camera.row)),
    column: Math.min(plot.columns - plot.columns / zoom, Math.max(0, camera.column)),
  };
}

/** Zooms so that the point under (x, y) stays where it is. */
export function zoomAt(camera: Camera, plot: Plot, factor: number, x: number, y: number): Camera {
  const zoom = Math.min(greatestZoom(plot), Math.max(1, camera.zoom * factor));
  const row = camera.row + (y / plot.height) * (plot.rows / camera.zoom - plot.rows / zoom);
  const column = camera.column + (x / plot.width) * (plot.columns / camera.zoom - plot.columns / zoom);
  return clamp({ zoom, row, column }, plot);
}

export function pan(camera: Camera, plot: Plot, dx: number, dy: number): Camera {
  return clamp(
    {
      zoom: camera.zoom,
      row: camera.row - (dy / plot.height) * (plot.rows / camera.zoom),
      column: camera.column - (dx / plot.width) * (plot.columns / camera.zoom),
    },
    plot,
  );
}
