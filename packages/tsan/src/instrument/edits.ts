// The insertions of one file, collected before any is made: site ids are allocated for the whole file at once, when their number is known,
// so a text says `\u0001N\u0002` for "the id of site N" until then. All ids are
// written with one width, so that columns do not depend on them. Inserted text never holds a line break: lines stay where they are.

import MagicString from 'magic-string';

type Place = 'left' | 'right' | 'front';

interface Insertion {
  place: Place;
  at: number;
  text: string;
}

/** A reference to a site of this file, to be put into inserted text. */
export function siteText(site: number): string {
  return `\u0001${site}\u0002`;
}

export class Edits {
  readonly #insertions: Insertion[] = [];
  readonly #replacements: { start: number; end: number; text: string }[] = [];
  readonly #opened = new Set<number>();

  /** Closes what ends at `at`; of several the first said stands first. */
  left(at: number, text: string): void {
    this.#insertions.push({ place: 'left', at, text });
  }

  /** Opens what begins at `at`; of several the first said stands first, so an outer node speaks before its children. */
  right(at: number, text: string): void {
    if (text.startsWith('(')) this.#opened.add(at);
    this.#insertions.push({ place: 'right', at, text });
  }

  /** Before everything that `right` has put there. */
  front(at: number, text: string): void {
    this.#insertions.push({ place: 'front', at, text });
  }

  replace(start: number, end: number, text: string): void {
    this.#replacements.push({ start, end, text });
  }

  /** Does the text at `at` now begin with a parenthesis that was not there? */
  opensAt(at: number): boolean {
    return this.#opened.has(at);
  }

  get isEmpty(): boolean {
    return this.#insertions.length === 0 && this.#replacements.length === 0;
  }

  apply(source: string, firstSite: number): MagicString {
    const result = new MagicString(source);
    const final = (text: string) =>
      // biome-ignore lint/suspicious/noControlCharactersInRegex: chosen because no source text inserted here can hold them.
      text.replace(/\u0001(\d+)\u0002/g, (_, site) => `0x${(firstSite + Number(site)).toString(16).padStart(8, '0')}`);
    for (const { start, end, text } of this.#replacements) result.update(start, end, final(text) || ' ');
    for (const { place, at, text } of this.#insertions) {
      if (place === 'left') result.appendLeft(at, final(text));
      else if (place === 'right') result.appendRight(at, final(text));
      else result.prependRight(at, final(text));
    }
    return result;
  }
}
