import { Arrays } from './core/decode';
import type { Payload, Source, Theme } from './core/contract';

export type View = 'atlas' | 'head' | 'flow';
export const VIEWS: View[] = ['atlas', 'head', 'flow'];

/** What the views share: where one is, and the theme. Kept in the fragment of the page's address. */
export class State {
  readonly payload: Payload;
  readonly arrays: Arrays;
  view = $state<View>('atlas');
  layer = $state(0);
  head = $state(0);
  query = $state<number | null>(null);
  show = $state('largest');
  sort = $state('number');
  role = $state('');
  least = $state(0);
  theme = $state<Theme>('light');

  constructor(source: Source, address: boolean) {
    this.payload = source.payload;
    this.arrays = new Arrays(source);
    const first = this.firstLens();
    this.layer = first.layer;
    this.head = first.head;
    if (address) this.read();
  }

  /** Where the head view starts: the measured head of largest effect, else the first kept in full. */
  private firstLens(): { layer: number; head: number } {
    const { layers, effects } = this.payload;
    const kept = layers.flatMap((l, layer) => l.lens.map((lens) => ({ layer, head: lens.head })));
    const size = (at: { layer: number; head: number }): number =>
      Math.abs(effects?.rows.find((r) => r.layer === at.layer && r.head === at.head)?.effect ?? 0);
    kept.sort((a, b) => size(b) - size(a));
    return kept[0] ?? { layer: Math.max(0, layers.findIndex((l) => l.shown)), head: 0 };
  }

  read(): void {
    let values: URLSearchParams;
    try {
      values = new URLSearchParams(location.hash.slice(1));
    } catch {
      return;
    }
    const whole = (name: string): number | null => {
      const text = values.get(name);
      return text !== null && /^\d+$/.test(text) ? Number(text) : null;
    };
    const view = values.get('view') as View | null;
    if (view && VIEWS.includes(view) && (view !== 'flow' || this.payload.flow)) this.view = view;
    const layer = whole('layer');
    const head = whole('head');
    if (layer !== null && layer < this.payload.layers.length) {
      this.layer = layer;
      if (head !== null && head < this.payload.layers[layer]!.heads) this.head = head;
    }
    const query = whole('query');
    this.query = query !== null && query < (this.payload.layers[this.layer]?.queries ?? 0) ? query : null;
    const quantities = ['largest', 'mean', ...this.payload.statistics.map((s) => `stat:${s.name}`)];
    if (this.payload.effects) quantities.push('effect', 'direct', 'gradient');
    const show = values.get('show');
    if (show && quantities.includes(show)) this.show = show;
    const sort = values.get('sort');
    if (sort && ['number', ...quantities.slice(2)].includes(sort)) this.sort = sort;
    const role = values.get('role') ?? '';
    this.role = this.payload.effects?.rows.some((row) => row.roles.some((r) => r.name === role)) ? role : '';
    const least = Number(values.get('least') ?? 0);
    this.least = Number.isFinite(least) && least > 0 ? least : 0;
  }

  get address(): string {
    const values = new URLSearchParams({ view: this.view });
    if (this.view !== 'flow') {
      values.set('layer', String(this.layer));
      values.set('head', String(this.head));
    }
    if (this.view === 'head' && this.query !== null) values.set('query', String(this.query));
    if (this.show !== 'largest') values.set('show', this.show);
    if (this.sort !== 'number') values.set('sort', this.sort);
    if (this.role) values.set('role', this.role);
    if (this.least > 0) values.set('least', String(this.least));
    return '#' + values.toString();
  }

  /** Shows a head; the query is kept where the new layer has it. */
  open(layer: number, head: number, view: View = this.view): void {
    const to = this.payload.layers[layer];
    if (!to) return;
    const same = this.payload.layers[this.layer]?.queryTokens === to.queryTokens;
    this.layer = layer;
    this.head = Math.max(0, Math.min(to.heads - 1, head));
    if (this.query !== null && (!same || this.query >= to.queries)) this.query = null;
    this.view = view;
  }

  /** The head `by` places on, over the ends of layers. */
  step(by: number): void {
    const { layers } = this.payload;
    let layer = this.layer;
    let head = this.head + by;
    if (head < 0) {
      if (layer === 0) return;
      layer--;
      head = layers[layer]!.heads - 1;
    } else if (head >= layers[layer]!.heads) {
      if (layer === layers.length - 1) return;
      layer++;
      head = 0;
    }
    this.open(layer, head);
  }
}
