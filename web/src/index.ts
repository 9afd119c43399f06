import { mount as mountComponent, unmount } from 'svelte';
import App from './App.svelte';
import type { Source } from './core/contract';
import styles from './style.css?inline';

export { inline } from './core/source';

export interface Options {
  theme?: 'auto' | 'light' | 'dark';
}

/** Shows the attention views of a source in an element. */
export function mount(element: HTMLElement, source: Source, options: Options = {}): { destroy(): void } {
  const root = element.getRootNode();
  const holder = root instanceof ShadowRoot ? root : element.ownerDocument;
  // A sheet made by script needs no permission in the page's content policy and stops at a shadow root.
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(styles);
  holder.adoptedStyleSheets = [...holder.adoptedStyleSheets, sheet];
  const app = mountComponent(App, { target: element, props: {
    source,
    theme: options.theme ?? 'auto',
    // A notebook's address is not ours to write.
    address: !(root instanceof ShadowRoot),
  } });
  return {
    destroy() {
      void unmount(app);
      holder.adoptedStyleSheets = holder.adoptedStyleSheets.filter((other) => other !== sheet);
    },
  };
}
