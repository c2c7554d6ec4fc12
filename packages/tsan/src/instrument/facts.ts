// What the text of an expression proves about its value, without running it: whether it can be a view at all, whether it can be an index,
// whether evaluating it can run other code. Where nothing is known the answer is the careful one.

import type { Expression, MemberExpression, Node, Pattern, Super } from 'acorn';

/** `number`: a number for certain. `any`: a number or an index in a string. `either`: one of these, or an object, whose text nobody may ask for. `never`: no index, a bigint among them. */
export type KeyKind = 'number' | 'unknown' | 'any' | 'either' | 'never';

const neverViews = new Set([
  'ArrayExpression',
  'ArrowFunctionExpression',
  'ClassExpression',
  'FunctionExpression',
  'Literal',
  'MetaProperty',
  'ObjectExpression',
  'Super',
  'TemplateLiteral',
  'UpdateExpression',
]);

const arithmetic = new Set(['-', '*', '/', '%', '**', '|', '&', '^', '<<', '>>', '>>>']);
const unaryNumbers = new Set(['-', '~']);

export function unparenthesized<T extends Node>(node: T): Node {
  let inner: Node = node;
  while (inner.type === 'ParenthesizedExpression') inner = (inner as Node & { expression: Node }).expression;
  return inner;
}

export function isElement(node: Node, forInKeys: ReadonlySet<string>): node is MemberExpression {
  if (node.type !== 'MemberExpression') return false;
  const { computed, object, property } = node as MemberExpression;
  return computed && !isNeverView(object) && keyKind(property, forInKeys) !== 'never';
}

function isNeverView(node: Expression | Super): boolean {
  const inner = unparenthesized(node);
  if (inner.type === 'Identifier') return /^(arguments$|__jstsan)/.test((inner as Node & { name: string }).name);
  return (
    neverViews.has(inner.type) || (inner.type === 'MemberExpression' && isNamed(inner as MemberExpression, '__jstsan'))
  );
}

export function keyKind(key: Node, forInKeys: ReadonlySet<string>): KeyKind {
  const node = unparenthesized(key) as Expression;
  switch (node.type) {
    case 'Literal':
      if (typeof node.value === 'number') return 'number';
      return typeof node.value === 'string' && /^\d+$/.test(node.value) ? 'any' : 'never';
    case 'Identifier':
      return forInKeys.has(node.name) ? 'either' : 'unknown';
    case 'UnaryExpression':
      if (node.operator === '+') return 'number';
      return unaryNumbers.has(node.operator) ? keyKind(node.argument, forInKeys) : 'never';
    case 'BinaryExpression':
      if (node.operator === '+') return sumKind(node.left, node.right, forInKeys);
      return arithmetic.has(node.operator) ? productKind(node.left, node.right, forInKeys) : 'never';
    case 'SequenceExpression':
      return keyKind(node.expressions.at(-1)!, forInKeys);
    case 'ConditionalExpression': {
      const first = keyKind(node.consequent, forInKeys);
      const second = keyKind(node.alternate, forInKeys);
      if (first === second) return first;
      return [first, second].some((kind) => kind === 'any' || kind === 'either') ? 'either' : 'unknown';
    }
    case 'MemberExpression':
      return isNamed(node, 'Symbol') || isNamed(node, '__jstsan') ? 'never' : 'unknown';
    case 'TemplateLiteral':
    case 'ArrayExpression':
    case 'ObjectExpression':
    case 'ArrowFunctionExpression':
    case 'FunctionExpression':
    case 'ClassExpression':
      return 'never';
    default:
      return node.type === ('PrivateIdentifier' as string) ? 'never' : 'unknown';
  }
}

/** Arithmetic on a number gives one, or throws when the other side is a bigint. */
function productKind(left: Node, right: Node, forInKeys: ReadonlySet<string>): KeyKind {
  return [left, right].some((side) => keyKind(side, forInKeys) === 'number') ? 'number' : 'unknown';
}

/** A sum of two numbers is one; a sum with a string is a string, of which only a key of a for-in loop is followed. */
function sumKind(left: Node, right: Node, forInKeys: ReadonlySet<string>): KeyKind {
  const kinds = [keyKind(left, forInKeys), keyKind(right, forInKeys)];
  if (kinds.every((kind) => kind === 'number')) return 'number';
  return [left, right].some(isString) ? 'never' : 'unknown';
}

function isString(node: Node): boolean {
  const inner = unparenthesized(node) as Expression;
  return inner.type === 'TemplateLiteral' || (inner.type === 'Literal' && typeof inner.value === 'string');
}

/** `Symbol.iterator`, and what rewritten text says of `__jstsan`. */
function isNamed(node: MemberExpression, object: string): boolean {
  return !node.computed && node.object.type === 'Identifier' && node.object.name === object;
}

/** Can be evaluated twice, or later, with nobody noticing. */
export function isSimple(node: Node): boolean {
  if (node.type === 'Identifier' || node.type === 'ThisExpression') return true;
  return node.type === 'Literal' && !(node as Node & { regex?: object }).regex;
}

/** Evaluates to a function or class that an assignment would give a name. */
export function isAnonymousFunction(node: Node): boolean {
  const inner = unparenthesized(node) as Expression;
  if (inner.type === 'ArrowFunctionExpression') return true;
  return (inner.type === 'FunctionExpression' || inner.type === 'ClassExpression') && !inner.id;
}

/**
 * Evaluating it runs no code of others and changes nothing, so a check may come before it instead of after it. Reads of named properties
 * do not count: a getter may synchronise.
 */
export function isCalm(node: Node | Pattern): boolean {
  const inner = unparenthesized(node) as Expression;
  switch (inner.type) {
    case 'Identifier':
    case 'Literal':
    case 'ThisExpression':
    case 'FunctionExpression':
    case 'ArrowFunctionExpression':
      return true;
    case 'UnaryExpression':
      return inner.operator !== 'delete' && isCalm(inner.argument);
    case 'BinaryExpression':
      return inner.operator !== 'instanceof' && inner.operator !== 'in' && isCalm(inner.left) && isCalm(inner.right);
    case 'LogicalExpression':
      return isCalm(inner.left) && isCalm(inner.right);
    case 'ConditionalExpression':
      return isCalm(inner.test) && isCalm(inner.consequent) && isCalm(inner.alternate);
    case 'MemberExpression':
      return inner.computed && isCalm(inner.object) && isCalm(inner.property);
    default:
      return false;
  }
}
