import { draw, FONT, type Measure, type Scene, toSvg } from './scene';

let ruler: CanvasRenderingContext2D | null = null;

export const measure: Measure = (text, size, bold) => {
  ruler ??= document.createElement('canvas').getContext('2d');
  if (!ruler) return text.length * size * 0.55;
  ruler.font = `${bold ? '650 ' : ''}${size}px ${FONT}`;
  return ruler.measureText(text).width;
};

export function toPng(scene: Scene): Promise<Blob> {
  const scale = Math.min(2, 16000 / Math.max(scene.width, scene.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.round(scene.width * scale);
  canvas.height = Math.round(scene.height * scale);
  const context = canvas.getContext('2d')!;
  context.scale(scale, scale);
  draw(context, scene);
  return new Promise((done, failed) =>
    canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error('The picture is too large.'))), 'image/png'),
  );
}

export function save(name: string, content: Blob | string, type = 'text/plain'): void {
  const blob = typeof content === 'string' ? new Blob([content], { type: `${type};charset=utf-8` }) : content;
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export async function saveScene(name: string, scene: Scene, title: string, caption: string[], format: 'svg' | 'png'): Promise<void> {
  if (format === 'svg') save(`${name}.svg`, toSvg(scene, title, caption.join(' ')), 'image/svg+xml');
  else save(`${name}.png`, await toPng(scene));
}
