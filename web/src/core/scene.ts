/** Pictures as a list of shapes: drawn on a canvas for the screen and PNG, written as text for SVG. */

export type Shape =
  | { kind: 'rect'; x: number; y: number; w: number; h: number; fill?: string; stroke?: string; width?: number; radius?: number; opacity?: number }
  | { kind: 'line'; x1: number; y1: number; x2: number; y2: number; stroke: string; width?: number; opacity?: number }
  | { kind: 'curve'; points: [number, number, number, number, number, number, number, number]; stroke: string; width: number; opacity?: number }
  | { kind: 'circle'; x: number; y: number; r: number; fill: string; stroke?: string; width?: number }
  | { kind: 'text'; x: number; y: number; text: string; size: number; fill: string; anchor?: 'start' | 'middle' | 'end'; bold?: boolean; rotate?: number }
  | { kind: 'image'; x: number; y: number; w: number; h: number; image: HTMLCanvasElement };

export interface Scene {
  width: number;
  height: number;
  shapes: Shape[];
}

export interface Frame {
  title: string;
  subtitle: string;
  caption: string[];
  ink: string;
  soft: string;
  page: string;
}

export const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif';
const SIZE = 14;
const LINE = 20;
const EDGE = 20;

export type Measure = (text: string, size: number, bold?: boolean) => number;

/** Breaks text into lines no wider than `width`. */
export function wrap(text: string, width: number, measure: Measure, size = SIZE): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/u).filter(Boolean)) {
    const longer = line ? `${line} ${word}` : word;
    if (line && measure(longer, size) > width) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  if (line) lines.push(line);
  return lines;
}

/** A picture with its title above and its caption below. */
export function framed(scene: Scene, frame: Frame, measure: Measure): Scene {
  const width = Math.max(560, scene.width) + 2 * EDGE;
  const shapes: Shape[] = [];
  let y = EDGE + 16;
  for (const line of wrap(frame.title, width - 2 * EDGE, measure, 18)) {
    shapes.push({ kind: 'text', x: EDGE, y, text: line, size: 18, fill: frame.ink, bold: true });
    y += 24;
  }
  for (const line of wrap(frame.subtitle, width - 2 * EDGE, measure)) {
    shapes.push({ kind: 'text', x: EDGE, y, text: line, size: SIZE, fill: frame.soft });
    y += LINE;
  }
  y += 4;
  for (const shape of scene.shapes) shapes.push(moved(shape, EDGE, y));
  y += scene.height + 28;
  for (const sentence of frame.caption) {
    for (const line of wrap(sentence, width - 2 * EDGE, measure)) {
      shapes.push({ kind: 'text', x: EDGE, y, text: line, size: SIZE, fill: frame.soft });
      y += LINE;
    }
  }
  const height = Math.ceil(y + EDGE - 8);
  shapes.unshift({ kind: 'rect', x: 0, y: 0, w: width, h: height, fill: frame.page });
  return { width, height, shapes };
}

export function moved(shape: Shape, dx: number, dy: number): Shape {
  switch (shape.kind) {
    case 'line':
      return { ...shape, x1: shape.x1 + dx, x2: shape.x2 + dx, y1: shape.y1 + dy, y2: shape.y2 + dy };
    case 'curve':
      return { ...shape, points: shape.points.map((v, i) => v + (i % 2 ? dy : dx)) as typeof shape.points };
    default:
      return { ...shape, x: shape.x + dx, y: shape.y + dy };
  }
}

export function draw(context: CanvasRenderingContext2D, scene: Scene): void {
  for (const shape of scene.shapes) {
    context.globalAlpha = 'opacity' in shape && shape.opacity !== undefined ? shape.opacity : 1;
    if (shape.kind === 'rect') {
      context.beginPath();
      if (shape.radius) context.roundRect(shape.x, shape.y, shape.w, shape.h, shape.radius);
      else context.rect(shape.x, shape.y, shape.w, shape.h);
      paintPath(context, shape.fill, shape.stroke, shape.width);
    } else if (shape.kind === 'circle') {
      context.beginPath();
      context.arc(shape.x, shape.y, shape.r, 0, 2 * Math.PI);
      paintPath(context, shape.fill, shape.stroke, shape.width);
    } else if (shape.kind === 'line') {
      context.beginPath();
      context.moveTo(shape.x1, shape.y1);
      context.lineTo(shape.x2, shape.y2);
      paintPath(context, undefined, shape.stroke, shape.width);
    } else if (shape.kind === 'curve') {
      const p = shape.points;
      context.beginPath();
      context.moveTo(p[0], p[1]);
      context.bezierCurveTo(p[2], p[3], p[4], p[5], p[6], p[7]);
      context.lineCap = 'round';
      paintPath(context, undefined, shape.stroke, shape.width);
    } else if (shape.kind === 'image') {
      context.imageSmoothingEnabled = false;
      context.drawImage(shape.image, shape.x, shape.y, shape.w, shape.h);
    } else {
      context.save();
      context.font = `${shape.bold ? '650 ' : ''}${shape.size}px ${FONT}`;
      context.fillStyle = shape.fill;
      context.direction = 'ltr';
      context.textAlign = shape.anchor === 'middle' ? 'center' : shape.anchor === 'end' ? 'right' : 'left';
      context.translate(shape.x, shape.y);
      if (shape.rotate) context.rotate((shape.rotate * Math.PI) / 180);
      context.fillText(shape.text, 0, 0);
      context.restore();
    }
  }
  context.globalAlpha = 1;
}

function paintPath(context: CanvasRenderingContext2D, fill?: string, stroke?: string, width = 1): void {
  if (fill) {
    context.fillStyle = fill;
    context.fill();
  }
  if (stroke) {
    context.strokeStyle = stroke;
    context.lineWidth = width;
    context.stroke();
  }
}

/** Text as XML: markup escaped, characters that XML forbids left out. */
export function escape(text: string): string {
  return text
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/gu, '')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;');
}

const n = (value: number): string => String(Math.round(value * 100) / 100);

function attributes(values: Record<string, string | number | undefined>): string {
  return Object.entries(values)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}="${typeof value === 'number' ? n(value) : escape(value!)}"`)
    .join('');
}

export function toSvg(scene: Scene, title: string, description: string): string {
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${n(scene.width)}" height="${n(scene.height)}" viewBox="0 0 ${n(scene.width)} ${n(scene.height)}" role="img" font-family="${escape(FONT)}">`,
    `<title>${escape(title)}</title><desc>${escape(description)}</desc>`,
  ];
  for (const s of scene.shapes) {
    const opacity = 'opacity' in s ? s.opacity : undefined;
    if (s.kind === 'rect') {
      parts.push(`<rect${attributes({ x: s.x, y: s.y, width: s.w, height: s.h, rx: s.radius, fill: s.fill ?? 'none', stroke: s.stroke, 'stroke-width': s.width, opacity })}/>`);
    } else if (s.kind === 'circle') {
      parts.push(`<circle${attributes({ cx: s.x, cy: s.y, r: s.r, fill: s.fill, stroke: s.stroke, 'stroke-width': s.width })}/>`);
    } else if (s.kind === 'line') {
      parts.push(`<line${attributes({ x1: s.x1, y1: s.y1, x2: s.x2, y2: s.y2, stroke: s.stroke, 'stroke-width': s.width, opacity })}/>`);
    } else if (s.kind === 'curve') {
      const p = s.points.map(n);
      parts.push(`<path d="M${p[0]} ${p[1]}C${p.slice(2).join(' ')}"${attributes({ fill: 'none', stroke: s.stroke, 'stroke-width': s.width, 'stroke-linecap': 'round', opacity })}/>`);
    } else if (s.kind === 'image') {
      parts.push(`<image${attributes({ x: s.x, y: s.y, width: s.w, height: s.h, href: s.image.toDataURL('image/png'), preserveAspectRatio: 'none', style: 'image-rendering:pixelated' })}/>`);
    } else {
      const turn = s.rotate ? `rotate(${n(s.rotate)} ${n(s.x)} ${n(s.y)})` : undefined;
      parts.push(`<text${attributes({ x: s.x, y: s.y, 'font-size': s.size, fill: s.fill, 'text-anchor': s.anchor, 'font-weight': s.bold ? '650' : undefined, transform: turn })} xml:space="preserve">${escape(s.text)}</text>`);
    }
  }
  parts.push('</svg>');
  return parts.join('\n');
}
