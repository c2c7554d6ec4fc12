// Optional chains. Parentheses around a part of `a?.b[i].c` would end its short circuit, so a chain that reads an element behind a `?.` is
// rewritten to the condition that it stands for: `((t=a)==null?void 0:(t1=t.b,…,t1[i]).c)`. The parts keep their order in the text;
// what opens a part that stands behind a `?.` goes where that `?.` was.

import type { CallExpression, ChainExpression, MemberExpression, Node } from 'acorn';
import { check, text } from './elements.ts';
import { isElement, isSimple } from './facts.ts';
import type { Forms, Rewriter } from './rewriter.ts';

type Link = MemberExpression | CallExpression;

function isLink(node: Node): node is Link {
  return node.type === 'MemberExpression' || node.type === 'CallExpression';
}

function below(node: Link): Node {
  return node.type === 'MemberExpression' ? node.object : node.callee;
}

const none: ReadonlySet<Node> = new Set();

/** Does evaluating `node`, or something before it in its chain, depend on a `?.`, other than those that become conditions? */
export function isBehindOptional(node: Node, links = none): boolean {
  for (let each = node; isLink(each); each = below(each)) if (each.optional && !links.has(each)) return true;
  return false;
}

function chainExpression(rewriter: Rewriter, node: ChainExpression): void {
  const links = linksToRewrite(rewriter, node);
  if (!links) {
    rewriter.visit(node.expression);
    return;
  }
  const mark = rewriter.frame.live;
  for (const link of links) rewriter.links.add(link);
  rewriter.visit(node.expression);
  rewriter.edits.left(node.end, ')'.repeat(links.length));
  rewriter.frame.live = mark;
}

/** The links with `?.` from the outermost element read inwards; undefined when none is read behind one, or when `this` would be lost. */
function linksToRewrite(rewriter: Rewriter, node: ChainExpression): Link[] | undefined {
  let reads = false;
  const found: Link[] = [];
  let above: Node | undefined;
  for (let each: Node = node.expression; isLink(each); each = below(each)) {
    const isCallee = above?.type === 'CallExpression';
    if (!isCallee && isElement(each, rewriter.forInKeys) && isBehindOptional(each)) reads = true;
    if (reads && each.optional) {
      if (each.type === 'CallExpression' && isLink(each.callee) && each.callee.type === 'MemberExpression')
        return undefined;
      found.push(each);
    }
    above = each;
  }
  return reads ? found : undefined;
}

/** Where the text of `node` begins, when what stands before a `?.` has become a condition. */
export function headOf(rewriter: Rewriter, node: Node): number {
  if (!isLink(node)) return node.start;
  for (let each = below(node); isLink(each); each = below(each)) {
    if (rewriter.links.has(each)) return optionalAt(rewriter, each);
  }
  return node.start;
}

function optionalAt(rewriter: Rewriter, link: Link): number {
  return rewriter.find('?.', below(link).end);
}

/** Opens the condition of a link: `a?.b` → `((t=a)==null?void 0:t.b`. The chain closes it. */
export function visitLink(rewriter: Rewriter, link: Link): void {
  const { edits } = rewriter;
  const object = below(link);
  const at = optionalAt(rewriter, link);
  const held = rewriter.temporary();
  edits.right(headOf(rewriter, link), `((${held}=`);
  rewriter.visit(object);
  edits.left(at, ')==null?void 0:');
  if (link.type === 'CallExpression') {
    edits.right(at, held);
    edits.replace(at, at + 2, '');
  } else if (!link.computed) {
    edits.right(at, held);
    edits.replace(at, at + 2, '.');
  } else visitComputedLink(rewriter, link, held, at);
}

/** `a?.[i]` → `…:(check,t[i])` */
function visitComputedLink(rewriter: Rewriter, link: MemberExpression, held: string, at: number): void {
  const { edits } = rewriter;
  const { property } = link;
  edits.replace(at, at + 2, '');
  if (!isElement(link, rewriter.forInKeys) || rewriter.callees.has(link)) {
    edits.right(at, held);
    rewriter.visit(property);
    return;
  }
  if (isSimple(property)) {
    const operands = { object: held, key: rewriter.source.slice(property.start, property.end) };
    edits.right(at, `(${check(rewriter, 'r', link, operands)},${held}`);
    edits.left(link.end, ')');
    return;
  }
  const operands = { object: held, key: rewriter.temporary() };
  const bracket = rewriter.find('[', at);
  edits.right(at, '(');
  edits.replace(bracket, bracket + 1, `${operands.key}=(`);
  rewriter.visit(property);
  edits.replace(link.end - 1, link.end, `),${check(rewriter, 'r', link, operands)},${text(operands)})`);
}

export const chainForms: Forms = { ChainExpression: chainExpression };
