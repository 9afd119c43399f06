import { css, diverging, sequential } from './colour';
import type { Theme } from './contract';
import { number, signed } from './format';
import type { Shape } from './scene';

export interface LegendScale {
  stops: string[];
  ticks: { at: number; text: string }[];
}

/** Colours and numbered ticks. Weights lie on a square-root scale, so that small ones can be told apart. */
export function legend(kind: 'weight' | 'statistic' | 'effect', range: [number, number], theme: Theme): LegendScale {
  const stops = Array.from({ length: 33 }, (_, i) => i / 32).map((t) =>
    css(kind === 'effect' ? diverging(2 * t - 1, theme) : kind === 'weight' ? sequential(t, theme) : sequential(0.04 + 0.96 * t, theme)),
  );
  if (kind === 'weight') {
    return { stops, ticks: [0, 0.01, 0.05, 0.2, 0.5, 1].map((w) => ({ at: Math.sqrt(w), text: String(w) })) };
  }
  const [low, high] = range;
  const write = (v: number): string => (kind === 'effect' ? signed(v) : number(v));
  return { stops, ticks: [0, 0.5, 1].map((t) => ({ at: t, text: write(low + (high - low) * t) })) };
}

/** The same legend as shapes, for saved pictures. */
export function legendShapes(scale: LegendScale, x: number, y: number, width: number, text: string, ink: string, soft: string): Shape[] {
  const shapes: Shape[] = [{ kind: 'text', x, y: y + 12, text, size: 14, fill: soft }];
  const step = width / scale.stops.length;
  scale.stops.forEach((fill, i) => shapes.push({ kind: 'rect', x: x + i * step, y: y + 20, w: step + 0.5, h: 12, fill }));
  shapes.push({ kind: 'rect', x, y: y + 20, w: width, h: 12, stroke: soft, width: 0.5 });
  for (const tick of scale.ticks) {
    shapes.push({ kind: 'text', x: x + tick.at * width, y: y + 47, text: tick.text, size: 14, fill: ink, anchor: tick.at === 0 ? 'start' : tick.at === 1 ? 'end' : 'middle' });
  }
  return shapes;
}
export const LEGEND_HEIGHT = 56;
