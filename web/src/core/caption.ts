import type { Effects, EffectRow, HeadSet, Layer } from './contract';
import { number, percent, signed } from './format';

export const WARNING = 'Attention shows where it reads, not why it decides.';

export function certificate(layer: Layer): string {
  if (layer.certificate === null) {
    return `${layer.name}: weights as the model returned them, not checked against its output.`;
  }
  const relation = layer.certificate <= layer.limit ? 'within' : 'above';
  return `${layer.name}: these weights rebuild the layer's output to within ${number(layer.certificate, 2)} of its largest value (${relation} the limit of ${number(layer.limit, 2)}).`;
}

/** The certificates of several layers in one sentence. */
export function certificates(layers: Layer[]): string {
  const checked = layers.filter((l) => l.shown && l.certificate !== null);
  const unchecked = layers.filter((l) => l.shown && l.certificate === null).length;
  const hidden = layers.filter((l) => !l.shown);
  const parts: string[] = [];
  if (checked.length) {
    const worst = checked.reduce((a, b) => (a.certificate! >= b.certificate! ? a : b));
    parts.push(`Check: the weights rebuild each layer's output to within ${number(worst.certificate, 2)} of its largest value (worst: ${worst.name}; limit ${number(worst.limit, 2)}).`);
  }
  if (unchecked) parts.push(`${unchecked} ${unchecked === 1 ? 'layer' : 'layers'} not checked: weights as the model returned them.`);
  if (hidden.length) parts.push(`Not shown because the check failed: ${hidden.map((l) => l.name).join(', ')}.`);
  return parts.join(' ');
}

export function interval(row: { low: number | null; high: number | null }): string {
  return row.low === null || row.high === null ? 'exact' : `[${number(row.low, 2)}, ${number(row.high, 2)}]`;
}

export function effectSentence(effects: Effects | null, row: EffectRow | undefined): string {
  if (!effects || !row || row.effect === null) return 'Effect of this head: not measured.';
  const draws = `${effects.draws} ${effects.draws === 1 ? 'draw' : 'draws'}`;
  return `Measured effect of this head on ${effects.output}: ${signed(row.effect)} ${effects.unit} ${interval(row)} (${effects.ablation}, ${draws}).`;
}

/** What random sets of as many heads do, or nothing where none was measured. */
export function besideRandom(set: HeadSet): string {
  if (!set.random.length) return '';
  return `${set.random.length} random sets of this size: ${signed(Math.min(...set.random))} to ${signed(Math.max(...set.random))}`;
}

export function hiddenSentence(hidden: number, what = "of this row's mass"): string {
  return `Hidden: ${percent(hidden)} ${what}.`;
}

export function notShown(layer: Layer): string {
  return `${layer.name} is not shown: rebuilding the layer's output from these weights misses by ${number(layer.certificate, 2)} of its largest value, above the limit of ${number(layer.limit, 2)}. A picture of such weights would mislead.`;
}
