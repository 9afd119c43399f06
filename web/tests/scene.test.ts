import { describe, expect, it } from 'vitest';
import { contrast, css, diverging, luminance, PAGE, parse, sequential, textOn, weightRamp } from '../src/core/colour';
import { escape, framed, moved, type Scene, toSvg, wrap } from '../src/core/scene';

const measure = (text: string): number => 7 * text.length;

describe('SVG', () => {
  it('escapes markup and leaves out what XML forbids', () => {
    expect(escape('<a b="c">&\u0000\u001b\ufffe</a>')).toBe('&lt;a b=&quot;c&quot;&gt;&amp;&lt;/a&gt;');
  });
  it('writes tokens as text, never as markup', () => {
    const text = '</text><script>alert(1)</script>';
    const scene: Scene = { width: 10, height: 10, shapes: [{ kind: 'text', x: 1, y: 2, text, size: 14, fill: '#000', rotate: -90 }] };
    const svg = toSvg(scene, text, `"${text}"`);
    expect(svg).not.toContain('<script');
    expect(svg).toContain('transform="rotate(-90 1 2)"');
    expect(svg.match(/<text/g)).toHaveLength(1);
  });
  it('writes every shape', () => {
    const scene: Scene = {
      width: 100.456, height: 50,
      shapes: [
        { kind: 'rect', x: 0, y: 0, w: 3, h: 4, fill: '#fff', radius: 2, opacity: 0.5 },
        { kind: 'line', x1: 0, y1: 0, x2: 9, y2: 9, stroke: '#111' },
        { kind: 'curve', points: [0, 0, 1, 1, 2, 2, 3, 3], stroke: '#222', width: 2 },
        { kind: 'circle', x: 5, y: 5, r: 2, fill: '#333' },
      ],
    };
    const svg = toSvg(scene, 't', 'd');
    expect(svg).toContain('width="100.46"');
    expect(svg).toContain('<rect x="0" y="0" width="3" height="4" rx="2" fill="#fff" opacity="0.5"/>');
    expect(svg).toContain('<path d="M0 0C1 1 2 2 3 3" fill="none"');
    expect(svg).toContain('<circle cx="5"');
    expect(svg).toContain('<line x1="0"');
  });
});

it('frames a picture with its title, its numbers and its caption', () => {
  const inner: Scene = { width: 200, height: 100, shapes: [{ kind: 'circle', x: 0, y: 0, r: 1, fill: '#000' }] };
  const whole = framed(inner, { title: 'Title', subtitle: 'sub', caption: ['One sentence. '.repeat(20)], ink: '#000', soft: '#555', page: '#fff' }, measure);
  expect(whole.shapes[0]).toMatchObject({ kind: 'rect', w: whole.width, h: whole.height, fill: '#fff' });
  const texts = whole.shapes.filter((s) => s.kind === 'text');
  for (const text of texts) {
    expect(text.size).toBeGreaterThanOrEqual(14);
    expect(text.x + measure(text.text)).toBeLessThanOrEqual(whole.width);
    expect(text.y).toBeLessThan(whole.height);
  }
});

it('moves shapes', () => {
  expect(moved({ kind: 'curve', points: [0, 0, 1, 1, 2, 2, 3, 3], stroke: '', width: 1 }, 10, 20)).toMatchObject({ points: [10, 20, 11, 21, 12, 22, 13, 23] });
  expect(moved({ kind: 'line', x1: 1, y1: 2, x2: 3, y2: 4, stroke: '' }, 1, 1)).toMatchObject({ x1: 2, y1: 3, x2: 4, y2: 5 });
  expect(moved({ kind: 'circle', x: 1, y: 2, r: 1, fill: '' }, 1, 1)).toMatchObject({ x: 2, y: 3 });
});

it('breaks lines at words', () => {
  expect(wrap('aa bb cc', 40, measure)).toEqual(['aa bb', 'cc']);
  expect(wrap('longerthantheline b', 40, measure)).toEqual(['longerthantheline', 'b']);
});

describe.each(['light', 'dark'] as const)('colours, %s', (theme) => {
  it('start at the page and go away from it evenly', () => {
    expect(sequential(0, theme)).toEqual(PAGE[theme]);
    let before = luminance(sequential(0.1, theme));
    for (let t = 0.15; t <= 1; t += 0.05) {
      const now = luminance(sequential(t, theme));
      expect(theme === 'light' ? before - now : now - before).toBeGreaterThan(0);
      before = now;
    }
  });
  it('carry text that can be read', () => {
    for (let code = 0; code < 256; code++) {
      const rgb = sequential(code / 255, theme);
      expect(contrast(rgb, parse(textOn(rgb)))).toBeGreaterThanOrEqual(4.5);
    }
    expect(weightRamp(theme).css[0]).toBe(css(PAGE[theme]));
  });
  it('tell the two signs apart, and each from 0', () => {
    expect(contrast(diverging(1, theme), diverging(0, theme))).toBeGreaterThan(2);
    expect(contrast(diverging(-1, theme), diverging(0, theme))).toBeGreaterThan(2);
    expect(diverging(Number.NaN, theme)).toEqual(PAGE[theme]);
  });
});
