import type { Token } from './contract';

/** Three significant digits, no exponent where it can be avoided; "not defined" for NaN. */
export function number(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || Number.isNaN(value)) return 'not defined';
  if (!Number.isFinite(value)) return value > 0 ? 'infinite' : '-infinite';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(digits - 1).replace('e+', 'e');
  if (size >= 10 ** digits) return String(Math.round(value));
  return value.toPrecision(digits);
}

/** A share as per cent; never 0 % for a share above 0, nor 100 % for one below 1. */
export function percent(share: number): string {
  if (Number.isNaN(share)) return 'not defined';
  const value = 100 * share;
  if (value > 0 && value < 0.1) return 'below 0.1 %';
  if (value > 99.9 && value < 100) return 'above 99.9 %';
  const rounded = value < 10 ? value.toFixed(1) : value.toFixed(value > 99 && value < 100 ? 1 : 0);
  return `${rounded.replace(/\.0$/, '')} %`;
}

/** A score of the decision; a probability is never rounded to certainty. */
export function chance(value: number, unit: string): string {
  return unit === 'probability' && value < 1 && value > 0.9995 ? 'over 0.999' : number(value);
}

export function signed(value: number | null, digits = 2): string {
  if (value === null) return 'not measured';
  return (value > 0 ? '+' : '') + number(value, digits);
}

const MARKS: Record<string, string> = { ' ': '␣', '\n': '↵', '\t': '⇥', '\r': '␍', '\u00a0': '⍽', '\u3000': '□' };

/** A token as it is shown: white space made visible where there is nothing else to see. */
export function visible(token: Token): string {
  if (token.text === '') return '∅';
  if (/\S/u.test(token.text) && !token.special) return token.text;
  return token.text.replace(/[\s]/gu, (c) => MARKS[c] ?? '␣');
}

/** A token in a list or label: trimmed, white space visible, shortened. */
export function label(token: Token | undefined, limit = 24): string {
  if (!token) return '?';
  const text = /\S/u.test(token.text) ? token.text.trim().replace(/\s/gu, (c) => MARKS[c] ?? '␣') : visible(token);
  const letters = Array.from(text);
  return letters.length > limit ? letters.slice(0, limit - 1).join('') + '…' : text;
}

/** A token with its position. Isolated, so that its script does not turn the number around. */
export function placed(tokens: Token[], at: number): string {
  return `“\u2068${label(tokens[at])}\u2069” (${at})`;
}

/** Numbers people count from: layers, heads and positions are numbered from 0, as models do. */
export function headName(layer: { name: string }, head: number): string {
  return `${layer.name}, head ${head}`;
}
