import type { Effects, Layer, Packed, Payload, Token } from '../src/core/contract';

export const token = (text: string, special = false): Token => ({ text, written: false, special });
export const packed = (dtype: Packed['dtype'], shape: number[], ref = 'a'): Packed => ({ dtype, shape, ref });

export function layer(name: string, heads: number, more: Partial<Layer> = {}): Layer {
  return {
    name, attention: 'causal', heads, queries: 3, keys: 3, queryTokens: 'tokens', keyTokens: 'tokens',
    certificate: 1e-6, limit: 1e-3, shown: true, lens: [], ...more,
  };
}

export function effects(): Effects {
  const row = (layer: number, head: number, chosen: 'ranked' | 'random' | 'no', effect: number | null, roles: string[] = []) => ({
    layer, head, chosen, direct: null, gradient: 0.1, effect, low: effect === null ? null : effect - 0.1, high: effect === null ? null : effect + 0.1,
    roles: roles.map((name) => ({ name, score: 0.5 })), cluster: null,
  });
  return {
    output: 'logit of "no"', unit: 'logit', value: 1, ablation: 'resample', draws: 8, confidence: 0.95, sets: [],
    rows: [row(0, 0, 'ranked', -0.4, ['sink']), row(0, 1, 'no', null), row(0, 2, 'random', 0.05), row(1, 0, 'ranked', 0.3, ['induction', 'sink']), row(1, 1, 'no', null)],
  };
}

/** Two layers of 3 and 2 heads; one statistic, not defined for one head. */
export function payload(more: Partial<Payload> = {}): Payload {
  return {
    version: 1, title: 't', model: 'm', decision: { text: 'no', scores: [], unit: 'logit' },
    tokens: ['a', 'b', 'c'].map((t) => token(t)), decoderTokens: [], statistics: [{ name: 'entropy', unit: 'nat' }],
    layers: [layer('layer 0', 3), layer('layer 1', 2)], effects: effects(), flow: null, notes: [], ...more,
  };
}

/** Numbers from 0 to 1, the same each time. */
export function random(seed = 7): () => number {
  return () => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed / 2147483648;
  };
}
