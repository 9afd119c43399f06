import { describe, expect, it } from 'vitest';
import { certificate, certificates, effectSentence, hiddenSentence, notShown } from '../src/core/caption';
import { around, excerpts, WHOLE, within } from '../src/core/excerpt';
import { chance, label, number, percent, placed, signed, visible } from '../src/core/format';
import { legend, legendShapes } from '../src/core/legend';
import { toCsv } from '../src/core/table';
import { effects, layer, token } from './made';

describe('format', () => {
  it.each([[0, '0'], [1.23456, '1.23'], [0.012345, '0.0123'], [1234.5, '1235'], [-0.00001, '-1.00e-5'], [2e7, '2.00e7'], [Number.NaN, 'not defined'], [null, 'not defined'], [-Infinity, '-infinite']])('writes %s as %s', (value, text) => {
    expect(number(value)).toBe(text);
  });
  it.each([[0, '0 %'], [0.0004, 'below 0.1 %'], [0.034, '3.4 %'], [0.09, '9 %'], [0.125, '13 %'], [0.996, '99.6 %'], [0.9996, 'above 99.9 %'], [1, '100 %'], [Number.NaN, 'not defined']])('writes %s as %s', (share, text) => {
    expect(percent(share)).toBe(text);
  });
  it('writes signs', () => expect([signed(0.3), signed(-0.3), signed(0), signed(null)]).toEqual(['+0.30', '-0.30', '0', 'not measured']));
  it('makes white space visible', () => {
    expect(visible(token(' '))).toBe('␣');
    expect(visible(token('\n\t'))).toBe('↵⇥');
    expect(visible(token(''))).toBe('∅');
    expect(visible(token(' loan'))).toBe(' loan');
    expect(label(token(' a\nb'))).toBe('a↵b');
    expect(label(token('x'.repeat(30)), 5)).toBe('xxxx…');
    expect(label(undefined)).toBe('?');
  });
  it('keeps the number of a position apart from the script of its token', () => {
    expect(placed([token(' قال')], 0)).toBe('“\u2068قال\u2069” (0)');
  });
});

describe('excerpts', () => {
  it('shows a short text whole', () => {
    expect(around(WHOLE, 5, 10)).toEqual([{ start: 0, end: WHOLE }]);
    expect(excerpts(3, [1])).toEqual([{ start: 0, end: 3 }]);
  });
  it('keeps the window on the text', () => {
    expect(around(1000, 0, 100)).toEqual([{ start: 0, end: 100 }]);
    expect(around(1000, 999, 100)).toEqual([{ start: 900, end: 1000 }]);
    expect(around(1000, 500, 100)).toEqual([{ start: 450, end: 550 }]);
  });
  it('joins places that touch and is in order', () => {
    expect(excerpts(1000, [500, 3, 12, 998], 4)).toEqual([{ start: 0, end: 17 }, { start: 496, end: 505 }, { start: 994, end: 1000 }]);
    expect(within(excerpts(1000, [500], 4), 504)).toBe(true);
    expect(within(excerpts(1000, [500], 4), 505)).toBe(false);
  });
});

describe('caption', () => {
  it('says what was checked', () => {
    expect(certificate(layer('layer 0', 1))).toContain('within the limit of 0.0010');
    expect(certificate(layer('layer 0', 1, { certificate: 0.01 }))).toContain('above the limit');
    expect(certificate(layer('layer 0', 1, { certificate: null }))).toContain('not checked');
    const all = certificates([layer('a', 1), layer('b', 1, { certificate: 5e-4 }), layer('c', 1, { certificate: null }), layer('d', 1, { shown: false, certificate: 0.2 })]);
    expect(all).toContain('worst: b');
    expect(all).toContain('1 layer not checked');
    expect(all).toContain('Not shown because the check failed: d.');
    expect(notShown(layer('d', 1, { certificate: 0.2 }))).toContain('misses by 0.20');
  });
  it('says what was measured', () => {
    const e = effects();
    expect(effectSentence(e, e.rows[0])).toBe('Measured effect of this head on logit of "no": -0.40 logit [-0.50, -0.30] (resample, 8 draws).');
    expect(effectSentence(e, { ...e.rows[0]!, low: null })).toContain('exact');
    expect(effectSentence(e, e.rows[1])).toBe('Effect of this head: not measured.');
    expect(effectSentence(null, undefined)).toBe('Effect of this head: not measured.');
    expect(hiddenSentence(0.12)).toBe("Hidden: 12 % of this row's mass.");
  });
});

describe('toCsv', () => {
  const columns = [{ name: 'a' }, { name: 'b', numeric: true }];
  it('quotes by the rule', () => {
    expect(toCsv({ caption: '', columns, rows: [['x,"y"\n', 1.5], ['', null], ['z', Number.NaN]] })).toBe('a,b\r\n"x,""y""\n",1.5\r\n,\r\nz,\r\n');
  });
  it('lets no cell run as a formula, and leaves numbers alone', () => {
    expect(toCsv({ caption: '', columns, rows: [['=1+1', -2], ['@x', 0], ['-', 1]] })).toBe("a,b\r\n'=1+1,-2\r\n'@x,0\r\n'-,1\r\n");
  });
});

describe('legend', () => {
  it('has numbers: weights on a square-root scale, effects with signs', () => {
    const weights = legend('weight', [0, 1], 'light');
    expect(weights.stops[0]).toBe('#ffffff');
    expect(weights.ticks.find((t) => t.text === '0.01')!.at).toBeCloseTo(0.1, 9);
    expect(legend('effect', [-2, 2], 'dark').ticks.map((t) => t.text)).toEqual(['-2.0', '0', '+2.0']);
    expect(legend('statistic', [1, 3], 'light').ticks.map((t) => t.text)).toEqual(['1.00', '2.00', '3.00']);
    expect(legendShapes(weights, 0, 0, 320, 'Weight', '#000', '#555').filter((s) => s.kind === 'text')).toHaveLength(7);
  });
});
describe('chance', () => {
  it('never rounds a probability to certainty', () => {
    expect(chance(0.99994, 'probability')).toBe('over 0.999');
    expect(chance(0.962, 'probability')).toBe('0.962');
    expect(chance(1, 'probability')).toBe('1.00');
    expect(chance(0.99994, 'logit')).toBe('1.00');
  });
});
