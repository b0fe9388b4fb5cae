import { at } from 'bantam/portable';
import { byId, element } from './elements.js';
import type { Found } from './protocol.js';

/** An image as the page shows it. */
export interface Shown {
  readonly name: string;
  /** URL of the image; null where there is none. */
  readonly image: string | null;
}

export interface ResultsOptions {
  /** All images by their number. */
  readonly shown: readonly Shown[];
  /** Called with the number of an image whose like are wanted. */
  readonly onLike: (image: number) => void;
}

/** The list of images that a search found. */
export class Results {
  readonly #options: ResultsOptions;
  readonly #list = byId('results', HTMLUListElement);
  readonly #heading = byId('found-heading', HTMLHeadingElement);
  readonly #empty = byId('empty', HTMLParagraphElement);

  constructor(options: ResultsOptions) {
    this.#options = options;
  }

  /** Shows images with their scores, best first, and notes the text that they answer. */
  show(found: readonly Found[], query: string): void {
    this.#list.dataset.query = query;
    this.#fill(
      found.length === 0 ? 'No images to search' : `The ${found.length} best images`,
      found,
    );
  }

  /** Shows the first images there are, before anything is searched. */
  showFirst(count: number): void {
    const { length } = this.#options.shown;
    const first = Array.from({ length: Math.min(count, length) }, (_, image) => ({ image }));
    this.#fill(length === 1 ? 'One image to search' : `${length} images to search`, first);
  }

  #fill(heading: string, images: readonly { image: number; score?: number }[]): void {
    this.#heading.textContent = heading;
    this.#list.replaceChildren(...images.map(({ image, score }) => this.#tile(image, score)));
    this.#empty.hidden = images.length > 0;
  }

  #tile(image: number, score: number | undefined): HTMLLIElement {
    const shown = at(this.#options.shown, image);
    const like = element('button', { type: 'button', textContent: 'More like this' });
    like.setAttribute('aria-label', `More like ${shown.name}`);
    like.addEventListener('click', () => {
      this.#options.onLike(image);
    });
    const children = [
      ...(shown.image === null ? [] : [thumbnail(shown.image)]),
      element('p', { className: 'caption', textContent: shown.name }),
      ...(score === undefined
        ? []
        : [element('p', { className: 'score', textContent: score.toFixed(3), title: 'Cosine' })]),
      like,
    ];
    const tile = element('li', {}, children);
    tile.dataset.image = String(image);
    return tile;
  }
}

/** An image whose name is beside it, so that it is not read twice. */
export function thumbnail(src: string): HTMLImageElement {
  return element('img', { src, alt: '', loading: 'lazy', decoding: 'async' });
}
