import type { LabelScore } from '../zero-shot.js';
import { byId, element } from './elements.js';
import { thumbnail, type Shown } from './results.js';

export interface OwnImagesOptions {
  /** Labels to begin with. */
  readonly labels: readonly string[];
  /** The labels of an image by its number, best first. */
  readonly classify: (image: number, labels: readonly string[]) => Promise<readonly LabelScore[]>;
  readonly onLike: (image: number) => void;
}

/** Labels that a card shows. */
const mostShown = 4;

/** The images that the user has added, each with its labels. */
export class OwnImages {
  readonly #options: OwnImagesOptions;
  readonly #section = byId('own', HTMLElement);
  readonly #list = byId('own-list', HTMLUListElement);
  readonly #labels = byId('labels', HTMLTextAreaElement);
  readonly #cards = new Map<number, HTMLOListElement>();

  constructor(options: OwnImagesOptions) {
    this.#options = options;
    this.#labels.value = options.labels.join('\n');
    this.#labels.addEventListener('change', () => {
      for (const image of this.#cards.keys()) void this.#label(image);
    });
    if (options.labels.length === 0) byId('label-editor', HTMLDetailsElement).open = true;
  }

  /** Shows an image that is being embedded; the result tells how that ended. */
  add({ name, image: src }: Shown): {
    done(image: number): Promise<void>;
    failed(why: string): void;
  } {
    this.#section.hidden = false;
    const state = element('p', { className: 'score', textContent: 'Computing …' });
    const images = src === null ? [] : [thumbnail(src)];
    const card = element('li', {}, [
      ...images,
      element('p', { className: 'caption', textContent: name }),
      state,
    ]);
    this.#list.prepend(card);
    return {
      done: async (image) => {
        const labels = element('ol');
        labels.setAttribute('aria-label', `Labels of ${name}`);
        const like = element('button', { type: 'button', textContent: 'Find similar images' });
        like.setAttribute('aria-label', `Find images similar to ${name}`);
        like.addEventListener('click', () => {
          this.#options.onLike(image);
        });
        state.replaceWith(labels, like);
        card.dataset.image = String(image);
        this.#cards.set(image, labels);
        await this.#label(image);
      },
      failed: (why) => {
        state.textContent = why;
      },
    };
  }

  async #label(image: number): Promise<void> {
    const list = this.#cards.get(image);
    const lines = this.#labels.value.split('\n').map((line) => line.trim());
    const labels = [...new Set(lines.filter((line) => line !== ''))];
    const scores = labels.length === 0 ? [] : await this.#options.classify(image, labels);
    list?.replaceChildren(...scores.slice(0, mostShown).map(labelRow));
  }
}

function labelRow({ label, probability }: LabelScore): HTMLLIElement {
  const percent = `${(100 * probability).toFixed(0)} %`;
  const meter = element('meter', { value: probability, textContent: percent });
  meter.setAttribute('aria-hidden', 'true');
  return element('li', {}, [label, element('span', {}, [meter, ` ${percent}`])]);
}
