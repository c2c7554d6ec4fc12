// Reads, writes and updates of single elements. Each form keeps the order in which object, key and value are evaluated, evaluates each
// once, and leaves the access itself in the text, so that what it throws is what it always threw. Where object and key can be evaluated
// again unnoticed the text of the access stays as it was, behind its check; where not, temporaries hold them.

import type { AssignmentExpression, MemberExpression, Pattern, UpdateExpression } from 'acorn';
import { headOf, isBehindOptional, visitLink } from './chains.ts';
import { isAnonymousFunction, isCalm, isElement, isSimple, keyKind, unparenthesized } from './facts.ts';
import { visitSourceAndPattern, visitTarget } from './patterns.ts';
import type { Forms, Rewriter } from './rewriter.ts';

/** What is done to the element: read, write, or both at once. */
export type Access = 'r' | 'w' | 'u';

export interface Operands {
  object: string;
  key: string;
}

/** The check of one access, as an expression without parentheses. */
export function check(rewriter: Rewriter, access: Access, node: MemberExpression, { object, key }: Operands): string {
  const kind = keyKind(node.property, rewriter.forInKeys);
  const info = rewriter.scratch();
  const number = `typeof ${key}=="number"`;
  const isIndex =
    kind === 'unknown' ? `${number}&&` : kind === 'either' ? `(${number}||typeof ${key}=="string")&&` : '';
  return `${isIndex}(${info}=${object}?.[__jstsan.S])!==void 0&&__jstsan.${access}(${info},${object},${key},${rewriter.site(node)})`;
}

/** Object and key as they stand in the text, when both can be evaluated again. */
export function operandsInPlace({ object, property }: MemberExpression, { source }: Rewriter): Operands | undefined {
  if (!isSimple(object) || !isSimple(property)) return undefined;
  return { object: source.slice(object.start, object.end), key: source.slice(property.start, property.end) };
}

/**
 * Rewrites `object[key]` up to its bracket to `t1=object,t2=key`, and returns the temporaries. `opening` is what goes before it. The
 * bracket is replaced by `closing`.
 */
export function operandsInTemporaries(
  rewriter: Rewriter,
  node: MemberExpression,
  start: number,
  opening: string,
  closing: (operands: Operands) => string,
): Operands {
  const { object, property } = node;
  const { edits } = rewriter;
  const operands = { object: rewriter.temporary(), key: '' };
  edits.right(start, `${opening}${operands.object}=`);
  rewriter.visit(object);
  operands.key = rewriter.temporary();
  const bracket = rewriter.find('[', object.end);
  const isSequence = property.type === 'SequenceExpression';
  edits.replace(bracket, bracket + 1, `,${operands.key}=${isSequence ? '(' : ''}`);
  rewriter.visit(property);
  edits.replace(node.end - 1, node.end, `${isSequence ? ')' : ''}${closing(operands)}`);
  return operands;
}

export const text = ({ object, key }: Operands): string => `${object}[${key}]`;

/** `a[i]` → `(check,a[i])` or `(t1=a(),t2=i(),check,t1[t2])` */
function readElement(rewriter: Rewriter, node: MemberExpression, start: number): void {
  const mark = rewriter.frame.live;
  const inPlace = operandsInPlace(node, rewriter);
  if (inPlace && start === node.start) {
    rewriter.edits.right(start, `(${check(rewriter, 'r', node, inPlace)},`);
    rewriter.edits.left(node.end, ')');
  } else {
    operandsInTemporaries(rewriter, node, start, '(', (operands) => {
      return `,${check(rewriter, 'r', node, operands)},${text(operands)})`;
    });
  }
  rewriter.frame.live = mark;
}

function memberExpression(rewriter: Rewriter, node: MemberExpression): void {
  if (rewriter.links.has(node)) visitLink(rewriter, node);
  else if (isRead(rewriter, node)) readElement(rewriter, node, headOf(rewriter, node));
  else visitMember(rewriter, node);
}

/** Behind a `?.` that stays as it is nothing can be put around the read. */
function isRead(rewriter: Rewriter, node: MemberExpression): boolean {
  if (rewriter.checked.has(node) || !isElement(node, rewriter.forInKeys)) return false;
  return !isBehindOptional(node, rewriter.links);
}

/** Object and key only, for what is no read: a callee, an operand of delete. */
export function visitMember(rewriter: Rewriter, node: MemberExpression): void {
  rewriter.visit(node.object);
  if (node.computed) rewriter.visit(node.property);
}

function assignmentExpression(rewriter: Rewriter, node: AssignmentExpression): void {
  const target = unparenthesized(node.left);
  if (!isElement(target, rewriter.forInKeys)) {
    visitSourceAndPattern(rewriter, target as Pattern, node.right);
    return;
  }
  rewriter.dropParentheses(node.left);
  const mark = rewriter.frame.live;
  if (node.operator === '=') assignElement(rewriter, node, target);
  else changeElement(rewriter, node, target);
  rewriter.frame.live = mark;
}

/** `a[i]=v` → `(check,a[i]=v)`, or with all three in temporaries where evaluating v could run other code. */
function assignElement(rewriter: Rewriter, node: AssignmentExpression, target: MemberExpression): void {
  const { edits } = rewriter;
  const operator = rewriter.find('=', node.left.end);
  const isEarly = isCalm(node.right) || isAnonymousFunction(node.right);
  const inPlace = isEarly ? operandsInPlace(target, rewriter) : undefined;
  if (inPlace) {
    edits.right(node.start, `(${check(rewriter, 'w', target, inPlace)},`);
    rewriter.visit(node.right);
    edits.left(node.end, ')');
    return;
  }
  const operands = operandsInTemporaries(rewriter, target, node.start, '(', () => '');
  if (isEarly) {
    edits.replace(operator, operator + 1, `,${check(rewriter, 'w', target, operands)},${text(operands)}=`);
    rewriter.visit(node.right);
    edits.left(node.end, ')');
  } else {
    const value = rewriter.temporary();
    edits.replace(operator, operator + 1, `,${value}=`);
    rewriter.visit(node.right);
    edits.left(node.end, `,${check(rewriter, 'w', target, operands)},${text(operands)}=${value})`);
  }
}

/** `a[i]+=v`, `a[i]??=v`: the read is checked before, the write where its value is known; both at once where nothing can run between. */
function changeElement(rewriter: Rewriter, node: AssignmentExpression, target: MemberExpression): void {
  const { edits } = rewriter;
  const isLogical = /^(&&|\|\||\?\?)=$/.test(node.operator);
  const isEarly = isCalm(node.right) || isAnonymousFunction(node.right);
  const first = isEarly && !isLogical ? 'u' : 'r';
  let operands = isEarly ? operandsInPlace(target, rewriter) : undefined;
  if (operands) edits.right(node.start, `(${check(rewriter, first, target, operands)},`);
  else {
    operands = operandsInTemporaries(rewriter, target, node.start, '(', (held) => {
      return `,${check(rewriter, first, target, held)},${text(held)}`;
    });
  }
  if (first === 'u') rewriter.visit(node.right);
  else if (isEarly) {
    edits.right(node.right.start, `(${check(rewriter, 'w', target, operands)},`);
    rewriter.visit(node.right);
    edits.left(node.right.end, ')');
  } else {
    const value = rewriter.temporary();
    edits.right(node.right.start, `(${value}=`);
    rewriter.visit(node.right);
    edits.left(node.right.end, `,${check(rewriter, 'w', target, operands)},${value})`);
  }
  edits.left(node.end, ')');
}

/** `a[i]++` → `(check,a[i]++)` */
function updateExpression(rewriter: Rewriter, node: UpdateExpression): void {
  const target = unparenthesized(node.argument);
  if (!isElement(target, rewriter.forInKeys)) {
    visitTarget(rewriter, node.argument, true);
    return;
  }
  const { edits } = rewriter;
  const mark = rewriter.frame.live;
  rewriter.dropParentheses(node.argument);
  const inPlace = operandsInPlace(target, rewriter);
  if (inPlace) edits.right(node.start, `(${check(rewriter, 'u', target, inPlace)},`);
  else {
    if (node.prefix) edits.replace(node.start, node.start + 2, '');
    operandsInTemporaries(rewriter, target, node.start, '(', (operands) => {
      return `,${check(rewriter, 'u', target, operands)},${node.prefix ? node.operator : ''}${text(operands)}`;
    });
  }
  edits.left(node.end, ')');
  rewriter.frame.live = mark;
}

export const elementForms: Forms = {
  MemberExpression: memberExpression,
  AssignmentExpression: assignmentExpression,
  UpdateExpression: updateExpression,
};
