import type { Theme } from './contract';

export type Rgb = [number, number, number];

const VIRIDIS = [
  '#440154', '#482475', '#414487', '#355f8d', '#2a788e', '#21918c', '#22a884', '#44bf70', '#7ad151',
  '#bddf26', '#fde725',
].map(parse);

/** What a colour lies on, and the neutral middle of the signed ramp. */
export const PAGE: Record<Theme, Rgb> = { light: [255, 255, 255], dark: [23, 23, 26] };
const MIDDLE: Record<Theme, Rgb> = { light: [226, 226, 231], dark: [62, 62, 70] };
const NEGATIVE: Record<Theme, Rgb[]> = {
  light: ['#f2b98a', '#e0822f', '#a84e00'].map(parse),
  dark: ['#8a5a34', '#d07a2c', '#ffb066'].map(parse),
};
const POSITIVE: Record<Theme, Rgb[]> = {
  light: ['#9fbfe6', '#3f83cf', '#0b4a94'].map(parse),
  dark: ['#3c5f86', '#3f8ad8', '#8cc4ff'].map(parse),
};

export function parse(hex: string): Rgb {
  const value = parseInt(hex.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

export function css(rgb: Rgb): string {
  return '#' + rgb.map((c) => Math.round(c).toString(16).padStart(2, '0')).join('');
}

export function mix(a: Rgb, b: Rgb, share: number): Rgb {
  return [0, 1, 2].map((i) => a[i]! + (b[i]! - a[i]!) * share) as Rgb;
}

function along(stops: Rgb[], at: number): Rgb {
  const place = Math.max(0, Math.min(1, at)) * (stops.length - 1);
  const low = Math.min(stops.length - 2, Math.floor(place));
  return mix(stops[low]!, stops[low + 1]!, place - low);
}

/**
 * Viridis, with the page itself at 0 and the strongest colour farthest from the page: reversed on a
 * light page. Anything above 0 starts at a floor, so that a weight of 0.01 is not taken for none.
 */
export function sequential(at: number, theme: Theme): Rgb {
  if (!(at > 0)) return PAGE[theme];
  const t = Math.min(1, at);
  const light = theme === 'light';
  const colour = along(VIRIDIS, light ? 0.93 - 0.93 * t : 0.14 + 0.86 * t);
  return mix(PAGE[theme], colour, Math.min(1, 0.16 + t * (light ? 3.2 : 2.6)));
}

/** Blue above 0, orange below, grey at 0; `at` runs from -1 to 1. */
export function diverging(at: number, theme: Theme): Rgb {
  if (!Number.isFinite(at)) return PAGE[theme];
  return along([MIDDLE[theme], ...(at < 0 ? NEGATIVE : POSITIVE)[theme]], Math.abs(at));
}

export function luminance(rgb: Rgb): number {
  const [r, g, b] = rgb.map((c) => {
    const v = c / 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  }) as Rgb;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

export function contrast(a: Rgb, b: Rgb): number {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

/** Black or white, whichever reads better on a colour. */
export function textOn(rgb: Rgb): string {
  return contrast(rgb, [0, 0, 0]) >= contrast(rgb, [255, 255, 255]) ? '#000000' : '#ffffff';
}

export interface Ramp {
  /** One pixel per code, in the byte order of ImageData. */
  pixels: Uint32Array;
  css: string[];
  text: string[];
}

const ramps = new Map<string, Ramp>();

function build(key: string, colour: (code: number) => Rgb): Ramp {
  const found = ramps.get(key);
  if (found) return found;
  const bytes = new Uint8ClampedArray(256 * 4);
  const ramp: Ramp = { pixels: new Uint32Array(bytes.buffer), css: [], text: [] };
  for (let code = 0; code < 256; code++) {
    const rgb = colour(code);
    bytes.set([...rgb, 255], 4 * code);
    ramp.css.push(css(rgb));
    ramp.text.push(textOn(rgb));
  }
  ramps.set(key, ramp);
  return ramp;
}

/** The sequential ramp by 8-bit code: a code is 255 times the square root of a weight. */
export function weightRamp(theme: Theme): Ramp {
  return build(`weight-${theme}`, (code) => sequential(code / 255, theme));
}
