import { css, diverging, PAGE, parse, sequential, textOn, weightRamp } from './colour';
import type { EffectRow, Layer, Payload, Theme } from './contract';
import { number, signed } from './format';
import { FONT, type Measure, type Shape } from './scene';
import type { Cell, Table } from './table';

export const EFFECTS = ['effect', 'direct', 'gradient'] as const;
export type EffectName = (typeof EFFECTS)[number];
export const EFFECT_TITLES: Record<EffectName, string> = {
  effect: 'measured effect',
  direct: 'direct effect',
  gradient: 'gradient estimate',
};

/** Numbers of every head, by layer. */
export class Heads {
  private readonly rows = new Map<number, EffectRow>();
  readonly columns: number;

  constructor(
    readonly payload: Payload,
    /** Per layer, f32 [heads, statistics]; null where a layer is not shown. */
    readonly statistics: (Float32Array | null)[],
  ) {
    this.columns = Math.max(1, ...payload.layers.map((l) => l.heads));
    for (const row of payload.effects?.rows ?? []) this.rows.set(row.layer * 65536 + row.head, row);
  }

  effects(layer: number, head: number): EffectRow | undefined {
    return this.rows.get(layer * 65536 + head);
  }

  /** A statistic by name, or one of the effects; NaN where there is none. */
  value(quantity: string, layer: number, head: number): number {
    if ((EFFECTS as readonly string[]).includes(quantity)) {
      return this.effects(layer, head)?.[quantity as EffectName] ?? Number.NaN;
    }
    const place = this.payload.statistics.findIndex((s) => `stat:${s.name}` === quantity);
    const data = this.statistics[layer];
    if (place < 0 || !data) return Number.NaN;
    return data[head * this.payload.statistics.length + place]!;
  }

  /** Smallest and largest value; effects run symmetrically around 0. */
  range(quantity: string): [number, number] {
    let low = Infinity;
    let high = -Infinity;
    this.payload.layers.forEach((layer, l) => {
      for (let h = 0; h < layer.heads; h++) {
        const v = this.value(quantity, l, h);
        if (Number.isNaN(v)) continue;
        low = Math.min(low, v);
        high = Math.max(high, v);
      }
    });
    if (low > high) return [0, 0];
    if (!quantity.startsWith('stat:')) {
      const most = Math.max(Math.abs(low), Math.abs(high));
      return [-most, most];
    }
    return [low, high];
  }

  /** Heads of a layer in the order they are drawn: by number, or from the largest value down. */
  order(layer: number, sort: string): number[] {
    const heads = Array.from({ length: this.payload.layers[layer]?.heads ?? 0 }, (_, h) => h);
    if (sort === 'number') return heads;
    const size = (h: number): number => {
      const v = this.value(sort, layer, h);
      return Number.isNaN(v) ? -Infinity : sort.startsWith('stat:') ? v : Math.abs(v);
    };
    return heads.sort((a, b) => {
      const x = size(a);
      const y = size(b);
      return x === y ? a - b : y - x;
    });
  }

  roles(): string[] {
    const found = new Set<string>();
    for (const row of this.payload.effects?.rows ?? []) for (const role of row.roles) found.add(role.name);
    return [...found].sort();
  }

  /** Does a head pass the filters? A head whose effect is not measured passes only at 0. */
  passes(layer: number, head: number, role: string, least: number): boolean {
    const row = this.effects(layer, head);
    if (role && !row?.roles.some((r) => r.name === role)) return false;
    if (least > 0 && !(Math.abs(row?.effect ?? 0) >= least)) return false;
    return true;
  }

  /** Measured heads by size of effect, without the control group. */
  ranked(): EffectRow[] {
    return this.measured((row) => row.chosen !== 'random');
  }

  /** Heads drawn at random: what an effect looks like without choosing. */
  control(): EffectRow[] {
    return this.measured((row) => row.chosen === 'random');
  }

  private measured(keep: (row: EffectRow) => boolean): EffectRow[] {
    return (this.payload.effects?.rows ?? [])
      .filter((row) => row.effect !== null && keep(row))
      .sort((a, b) => Math.abs(b.effect!) - Math.abs(a.effect!) || a.layer - b.layer || a.head - b.head);
  }

  table(role = '', least = 0): Table {
    const { payload } = this;
    const unit = payload.effects?.unit ?? '';
    const columns: Table['columns'] = [{ name: 'layer' }, { name: 'head', numeric: true }];
    for (const s of payload.statistics) columns.push({ name: s.name, title: s.unit, numeric: true });
    if (payload.effects) {
      columns.push(
        { name: 'measured effect', title: unit, numeric: true },
        { name: 'low', title: unit, numeric: true },
        { name: 'high', title: unit, numeric: true },
        { name: 'gradient estimate', title: unit, numeric: true },
        { name: 'direct effect', title: unit, numeric: true },
        { name: 'chosen' },
        { name: 'roles' },
        { name: 'cluster', numeric: true },
      );
    }
    const rows: Cell[][] = [];
    payload.layers.forEach((layer, l) => {
      for (let h = 0; h < layer.heads; h++) {
        if (!this.passes(l, h, role, least)) continue;
        const row: Cell[] = [layer.name, h];
        for (const s of payload.statistics) {
          const v = this.value(`stat:${s.name}`, l, h);
          row.push(Number.isNaN(v) ? null : v);
        }
        if (payload.effects) {
          const e = this.effects(l, h);
          row.push(
            e?.effect ?? null, e?.low ?? null, e?.high ?? null, e?.gradient ?? null, e?.direct ?? null,
            e?.chosen ?? 'no',
            [...(e?.roles ?? [])].sort((a, b) => b.score - a.score).map((r) => `${r.name} ${r.score.toFixed(2)}`).join('; '),
            e?.cluster ?? null,
          );
        }
        rows.push(row);
      }
    });
    return { caption: `Every head${role || least > 0 ? ' that passes the filters' : ''}: ${rows.length} of ${payload.layers.reduce((a, l) => a + l.heads, 0)}`, columns, rows };
  }
}

/** Colour of one number, by the kind of quantity. */
export function shade(quantity: string, value: number, range: [number, number], theme: Theme): string | null {
  if (Number.isNaN(value)) return null;
  if (quantity.startsWith('stat:')) {
    const span = range[1] - range[0] || 1;
    return css(sequential(0.04 + (0.96 * (value - range[0])) / span, theme));
  }
  return css(diverging(range[1] ? value / range[1] : 0, theme));
}

export interface Grid {
  /** CSS pixels from one cell to the next, and the gap in it. */
  step: number;
  gap: number;
  left: number;
  top: number;
  columns: number;
  rows: number;
  width: number;
  height: number;
}

export function grid(width: number, rows: number, columns: number, left: number): Grid {
  const step = Math.max(12, Math.min(104, Math.floor((width - left) / columns)));
  const top = 24;
  return { step, gap: step > 30 ? 4 : 2, left, top, columns, rows, width: left + step * columns, height: top + step * rows };
}

export function cellAt(g: Grid, x: number, y: number): { row: number; column: number } | null {
  const column = Math.floor((x - g.left) / g.step);
  const row = Math.floor((y - g.top) / g.step);
  return row >= 0 && row < g.rows && column >= 0 && column < g.columns ? { row, column } : null;
}

/** A thumbnail at `size` device pixels: the largest cell under each pixel. */
export function tile(
  data: Uint8Array, offset: number, rows: number, columns: number,
  size: number, ramp: Uint32Array, into: Uint32Array, width: number, x0: number, y0: number,
): void {
  for (let y = 0; y < size; y++) {
    const a = Math.floor((y * rows) / size);
    const b = Math.max(a, Math.ceil(((y + 1) * rows) / size) - 1);
    for (let x = 0; x < size; x++) {
      const c = Math.floor((x * columns) / size);
      const d = Math.max(c, Math.ceil(((x + 1) * columns) / size) - 1);
      let most = 0;
      for (let i = a; i <= b; i++) {
        for (let j = c; j <= d; j++) {
          const code = data[offset + i * columns + j]!;
          if (code > most) most = code;
        }
      }
      into[(y0 + y) * width + x0 + x] = ramp[most]!;
    }
  }
}

export interface AtlasView {
  heads: Heads;
  grid: Grid;
  orders: number[][];
  /** 'largest', 'mean', a statistic or an effect. */
  show: string;
  range: [number, number];
  role: string;
  least: number;
  theme: Theme;
  line: string;
}

export function isThumbnail(show: string): show is 'largest' | 'mean' {
  return show === 'largest' || show === 'mean';
}

/** Draws one layer's row of cells at device scale `ratio`; `codes` are its thumbnails, if any. */
export function drawRow(context: CanvasRenderingContext2D, view: AtlasView, l: number, ratio: number, codes: Uint8Array | null): void {
  const { grid: g, theme } = view;
  const layer: Layer | undefined = view.heads.payload.layers[l];
  if (!layer) return;
  const size = Math.round((g.step - g.gap) * ratio);
  const page = PAGE[theme];
  const dim = theme === 'light' ? 0.86 : 0.82;
  const packed = layer[view.show === 'mean' ? 'mean' : 'largest'];
  const top = Math.round((g.top + l * g.step) * ratio);
  context.clearRect(Math.round(g.left * ratio), top, context.canvas.width, Math.ceil(g.step * ratio));
  const image = codes && packed ? context.createImageData(size, size) : null;
  const pixels = image ? new Uint32Array(image.data.buffer) : null;
  const ramp = weightRamp(theme).pixels;
  view.orders[l]!.forEach((head, column) => {
    const x = Math.round((g.left + column * g.step) * ratio);
    const passes = view.heads.passes(l, head, view.role, view.least);
    if (isThumbnail(view.show)) {
      if (image && pixels && codes && packed) {
        const [, rows, columns] = packed.shape as [number, number, number];
        tile(codes, head * rows * columns, rows, columns, size, ramp, pixels, size, 0, 0);
        context.putImageData(image, x, top);
        context.strokeStyle = view.line;
        context.lineWidth = Math.max(1, Math.round(ratio));
        const half = context.lineWidth / 2;
        context.strokeRect(x + half, top + half, size - 2 * half, size - 2 * half);
      } else hatch(context, x, top, size, view.line, ratio);
    } else {
      const colour = layer.shown || !view.show.startsWith('stat:') ? shade(view.show, view.heads.value(view.show, l, head), view.range, theme) : null;
      if (colour) {
        context.fillStyle = colour;
        context.fillRect(x, top, size, size);
        if (g.step >= 56 && passes) {
          const value = view.heads.value(view.show, l, head);
          context.fillStyle = textOn(parse(colour));
          context.font = `${14 * ratio}px ${FONT}`;
          context.textAlign = 'center';
          context.textBaseline = 'middle';
          context.fillText(view.show.startsWith('stat:') ? number(value, 2) : signed(value), x + size / 2, top + size / 2);
        }
      } else hatch(context, x, top, size, view.line, ratio);
    }
    if (!passes) {
      context.globalAlpha = dim;
      context.fillStyle = css(page);
      context.fillRect(x, top, size, size);
      context.globalAlpha = 1;
    }
  });
}

export function hatch(context: CanvasRenderingContext2D, x: number, y: number, size: number, line: string, ratio: number): void {
  context.save();
  context.beginPath();
  context.rect(x, y, size, size);
  context.clip();
  context.strokeStyle = line;
  context.lineWidth = ratio;
  context.strokeRect(x, y, size, size);
  context.beginPath();
  for (let k = -size; k < size; k += 6 * ratio) {
    context.moveTo(x + k, y + size);
    context.lineTo(x + k + size, y);
  }
  context.stroke();
  context.restore();
}

/** Names of layers at the left, numbers of heads above; every second one or fewer where they would touch. */
export function labels(g: Grid, payload: Payload, sort: string, measure: Measure, ink: string, soft: string): Shape[] {
  const shapes: Shape[] = [];
  const every = Math.ceil(18 / g.step);
  payload.layers.forEach((layer, l) => {
    if (l % every) return;
    const text = shorten(layer.name, g.left - 10, measure);
    shapes.push({ kind: 'text', x: g.left - 8, y: g.top + l * g.step + (g.step - g.gap) / 2 + 5, text, size: 14, fill: layer.shown ? ink : soft, anchor: 'end' });
  });
  if (sort !== 'number') {
    shapes.push({ kind: 'text', x: g.left, y: 15, text: 'largest first \u2192', size: 14, fill: soft });
    return shapes;
  }
  const wide = Math.ceil((measure(String(g.columns), 14) + 8) / g.step);
  const jump = wide === 1 ? 1 : wide === 2 ? 2 : Math.ceil(wide / 4) * 4;
  for (let h = 0; h < g.columns; h += jump) {
    shapes.push({ kind: 'text', x: g.left + h * g.step + (g.step - g.gap) / 2, y: 15, text: String(h), size: 14, fill: soft, anchor: 'middle' });
  }
  return shapes;
}

/** Text cut to a width, with an ellipsis. */
export function shorten(text: string, width: number, measure: Measure): string {
  if (measure(text, 14) <= width) return text;
  const letters = Array.from(text);
  while (letters.length && measure(letters.join('') + '…', 14) > width) letters.pop();
  return letters.join('') + '…';
}
