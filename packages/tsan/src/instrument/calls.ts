// Calls. An element that is called, or deleted, is no read that can race: elements of views are numbers. Its object and key are visited,
// the access keeps its text, and with it `this`. A call that may be of a built-in tells its site first.

import type {
  CallExpression,
  ChainExpression,
  Expression,
  MemberExpression,
  NewExpression,
  Node,
  Super,
  TaggedTemplateExpression,
  UnaryExpression,
} from 'acorn';
import { isBuiltInName } from './built-in-names.ts';
import { isBehindOptional, visitLink } from './chains.ts';
import { check, operandsInPlace, visitMember } from './elements.ts';
import { isAnonymousFunction, isCalm, isElement, unparenthesized } from './facts.ts';
import type { Forms, Rewriter } from './rewriter.ts';

/** Of a callee, a tag, an operand of delete: everything but the last access itself. */
function visitCallee(rewriter: Rewriter, callee: Node): void {
  const inner = unparenthesized(callee);
  if (inner.type === 'ChainExpression') visitCallee(rewriter, (inner as ChainExpression).expression);
  else if (inner.type !== 'MemberExpression') rewriter.visit(callee);
  else if (rewriter.links.has(inner)) {
    rewriter.callees.add(inner);
    rewriter.visit(inner);
  } else visitMember(rewriter, inner as MemberExpression);
}

function callExpression(rewriter: Rewriter, node: CallExpression): void {
  if (rewriter.links.has(node)) {
    visitLink(rewriter, node);
    visitArguments(rewriter, node);
    return;
  }
  const isChained = isBehindOptional(node);
  if (!isChained) checkFirst(rewriter, node);
  const isMarked = !isChained && isMarkedAround(node);
  // Said before what the callee has to say at the same place, so that it stands around all of it.
  if (isMarked) rewriter.edits.right(node.start, `(${mark(rewriter, node)},`);
  visitCallee(rewriter, node.callee);
  visitArguments(rewriter, node);
  if (isMarked) rewriter.edits.left(node.end, ')');
}

/** There is no last argument that could tell the site. */
function isMarkedAround(node: Call): boolean {
  const last = node.arguments.at(-1);
  return isBuiltInName(calleeName(node.callee)) && (last === undefined || last.type === 'SpreadElement');
}

function newExpression(rewriter: Rewriter, node: NewExpression): void {
  visitCallee(rewriter, node.callee);
  visitArguments(rewriter, node);
}

/** In `a[i].f(x)` reading the element is what happens first: checked before the whole call, the callee keeps the text that errors show. */
function checkFirst(rewriter: Rewriter, node: CallExpression): void {
  let base: Node = node.callee;
  while (base.type === 'MemberExpression') {
    const member = base as MemberExpression;
    const inPlace = operandsInPlace(member, rewriter);
    if (member !== node.callee && inPlace && isElement(member, rewriter.forInKeys)) {
      rewriter.edits.right(node.start, `(${check(rewriter, 'r', member, inPlace)},`);
      rewriter.edits.left(node.end, ')');
      rewriter.checked.add(member);
      return;
    }
    base = member.object;
  }
}

type Call = CallExpression | NewExpression;

/** Visits the arguments; the last thing before the call, where it can be, is to tell its site. */
function visitArguments(rewriter: Rewriter, node: Call): void {
  const last = node.arguments.at(-1);
  rewriter.visitAll(node.arguments.slice(0, -1));
  if (last && last.type !== 'SpreadElement' && isBuiltInName(calleeName(node.callee))) {
    markInArgument(rewriter, node, last);
  } else rewriter.visit(last);
}

function markInArgument(rewriter: Rewriter, node: Call, last: Expression): void {
  const { edits, frame } = rewriter;
  if (isCalm(last) || isAnonymousFunction(last)) {
    edits.right(last.start, `(${mark(rewriter, node)},`);
    rewriter.visit(last);
    edits.left(last.end, ')');
    return;
  }
  const before = frame.live;
  const value = rewriter.temporary();
  edits.right(last.start, `(${value}=`);
  rewriter.visit(last);
  edits.left(last.end, `,${mark(rewriter, node)},${value})`);
  frame.live = before;
}

function mark(rewriter: Rewriter, node: Node): string {
  return `__jstsan.k[0]=${rewriter.site(node)}`;
}

function calleeName(callee: Expression | Super): string {
  const inner = unparenthesized(callee) as Expression | Super;
  if (inner.type === 'Identifier') return inner.name;
  if (inner.type !== 'MemberExpression' || inner.property.type !== 'Identifier') return '';
  return inner.computed ? '' : inner.property.name;
}

function unaryExpression(rewriter: Rewriter, node: UnaryExpression): void {
  if (node.operator === 'delete') visitCallee(rewriter, node.argument);
  else rewriter.visit(node.argument);
}

function taggedTemplate(rewriter: Rewriter, node: TaggedTemplateExpression): void {
  visitCallee(rewriter, node.tag);
  rewriter.visit(node.quasi);
}

export const callForms: Forms = {
  CallExpression: callExpression,
  NewExpression: newExpression,
  UnaryExpression: unaryExpression,
  TaggedTemplateExpression: taggedTemplate,
};
