// Calls. An element that is called, or deleted, is no read that can race: elements of views are numbers. Its object and key are visited,
// the access keeps its text, and with it `this`.

import type {
  CallExpression,
  ChainExpression,
  MemberExpression,
  NewExpression,
  Node,
  TaggedTemplateExpression,
  UnaryExpression,
} from 'acorn';
import { visitMember } from './elements.ts';
import { unparenthesized } from './facts.ts';
import type { Forms, Rewriter } from './rewriter.ts';

/** Of a callee, a tag, an operand of delete: everything but the last access itself. */
export function visitCallee(rewriter: Rewriter, callee: Node): void {
  const inner = unparenthesized(callee);
  if (inner.type === 'MemberExpression') visitMember(rewriter, inner as MemberExpression);
  else if (inner.type === 'ChainExpression') visitCallee(rewriter, (inner as ChainExpression).expression);
  else rewriter.visit(callee);
}

function callExpression(rewriter: Rewriter, node: CallExpression): void {
  visitCallee(rewriter, node.callee);
  rewriter.visitAll(node.arguments);
}

function newExpression(rewriter: Rewriter, node: NewExpression): void {
  visitCallee(rewriter, node.callee);
  rewriter.visitAll(node.arguments);
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
