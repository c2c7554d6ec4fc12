// What all rewriting forms share while one file is walked: its text, the insertions made so far, the function being in, and the
// temporaries of that function. A form is a function (rewriter, node) registered for a type of node; a node without one has its children visited.

import type { Identifier, Node } from 'acorn';
import { Edits, siteText } from './edits.ts';
import type { Sites } from './sites.ts';

/** A node of any type; forms look at its own properties through the types of acorn. */
export type Form = (rewriter: Rewriter, node: never) => void;
export type Forms = Record<string, Form>;

/** Where temporaries can be declared: a function's body, a module, or an expression that has to be wrapped to hold them. */
export interface Frame {
  name: string;
  /** Temporaries in use at this point of the walk, and the most that were. */
  live: number;
  most: number;
  /** Inside a generator or an async function values outlive a suspension; nothing depends on it but the history of calls. */
  suspends: boolean;
}

export class Rewriter {
  readonly source: string;
  readonly sites: Sites;
  readonly edits = new Edits();
  readonly #forms: Forms;
  /** Begins every name that is declared here; the file holds it nowhere else. */
  readonly prefix: string;
  frame: Frame;
  /** Put behind the program's directives. */
  preamble = '';
  /** A script's own `var` would be a property of the global object. */
  isScript = false;
  /** Links of optional chains that become conditions. */
  readonly links = new Set<Node>();
  /** Members that are called. */
  readonly callees = new Set<Node>();
  /** Reads whose check stands elsewhere. */
  readonly checked = new Set<Node>();
  #name = '';
  #isPart = false;
  /** Names of the keys of for-in loops around: the only strings that are looked at as indices. */
  readonly forInKeys = new Set<string>();

  constructor(source: string, sites: Sites, forms: Forms) {
    this.source = source;
    this.sites = sites;
    this.#forms = forms;
    let prefix = '__jstsan';
    while (new RegExp(`${prefix}\\d`).test(source)) prefix += '_';
    this.prefix = prefix;
    this.frame = newFrame('');
  }

  visit(node: Node | null | undefined): void {
    if (!node) return;
    const form = this.#forms[node.type];
    if (!takesName.has(node.type)) this.#name = '';
    if (form) form(this, node as never);
    else this.visitChildren(node);
  }

  visitAll(nodes: readonly (Node | null)[]): void {
    for (const node of nodes) this.visit(node);
  }

  visitChildren(node: Node): void {
    for (const value of Object.values(node)) {
      if (Array.isArray(value)) {
        for (const each of value) if (isNode(each)) this.visit(each);
      } else if (isNode(value)) this.visit(value);
    }
  }

  /** What follows is `f` in `name = f`: a function without a name of its own is called so in reports. */
  giveName(name: string): void {
    this.#name = name;
  }

  takeName(): string {
    const name = this.#name;
    this.#name = '';
    return name;
  }

  /** Visits a value that is assigned to `target`. */
  visitNamed(value: Node, target: Node): void {
    this.giveName(target.type === 'Identifier' ? (target as Identifier).name : '');
    this.visit(value);
    this.takeName();
  }

  /** Runs `body` where temporaries cannot be declared: among parameters. */
  inPart(name: string, body: () => void): void {
    const frame = this.inFrame(name, false, () => {
      this.#isPart = true;
      body();
      this.#isPart = false;
    });
    if (frame.most >= 0) throw new Error('a temporary among parameters');
  }

  /** Visits an expression inside a pattern, which may be one of parameters. */
  visitPart(node: Node, name = ''): void {
    if (this.#isPart) this.wrapped(node, name);
    else {
      this.giveName(name);
      this.visit(node);
      this.takeName();
    }
  }

  /** Visits an expression that holds its own temporaries, if it needs any, in an arrow function around it. */
  wrapped(node: Node, name: string): void {
    const isPart = this.#isPart;
    this.#isPart = false;
    const frame = this.inFrame(this.frame.name || name, false, () => {
      this.giveName(name);
      this.visit(node);
      this.takeName();
    });
    this.#isPart = isPart;
    const declarations = this.declarations(frame);
    if (declarations === '') return;
    this.edits.front(node.start, `(()=>{${declarations}return `);
    this.edits.left(node.end, '})()');
  }

  /** Turns the parentheses around a target into spaces. */
  dropParentheses(node: Node): void {
    for (let each = node; each.type === 'ParenthesizedExpression'; ) {
      this.edits.replace(each.start, each.start + 1, '');
      this.edits.replace(each.end - 1, each.end, '');
      each = (each as Node & { expression: Node }).expression;
    }
  }

  /** Runs `body` in a frame of its own and returns that frame. */
  inFrame(name: string, suspends: boolean, body: () => void): Frame {
    const outer = this.frame;
    const frame = newFrame(name, suspends);
    this.frame = frame;
    body();
    this.frame = outer;
    return frame;
  }

  /** A temporary that keeps its value until `release` is called with the mark taken before it. */
  temporary(): string {
    const { frame } = this;
    frame.live++;
    frame.most = Math.max(frame.most, frame.live);
    return `${this.prefix}${frame.live}`;
  }

  /** A temporary for what is used up at once, before anything else is evaluated. */
  scratch(): string {
    this.frame.most = Math.max(this.frame.most, 0);
    return `${this.prefix}0`;
  }

  declarations(frame: Frame): string {
    if (frame.most < 0) return '';
    return `var ${Array.from({ length: frame.most + 1 }, (_, index) => `${this.prefix}${index}`).join()};`;
  }

  site(node: Node): string {
    return siteText(this.sites.add(node.start, this.frame.name));
  }

  /** The offset of a punctuator between two nodes, past comments. */
  find(punctuator: string, from: number): number {
    const { source } = this;
    for (let at = from; at < source.length; ) {
      if (source.startsWith(punctuator, at)) return at;
      if (source.startsWith('//', at)) at = endOfLine(source, at);
      else if (source.startsWith('/*', at)) at = source.indexOf('*/', at) + 2;
      else at++;
    }
    throw new Error(`no ${punctuator} after ${from}`);
  }
}

const takesName = new Set(['ArrowFunctionExpression', 'ClassExpression', 'FunctionExpression']);

function newFrame(name: string, suspends = false): Frame {
  return { name, live: 0, most: -1, suspends };
}

function endOfLine(source: string, from: number): number {
  const found = /[\n\r\u2028\u2029]/.exec(source.slice(from));
  return found ? from + found.index : source.length;
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';
}
