// Destructuring. An element that is a target cannot have its write checked in place: `[a[i]] = v` becomes `[a[(check,i)]] = v` where nothing
// can run between evaluating the target and writing it, else the target is a property of a small object whose setter checks and writes.
// A pattern that takes elements out of a view by index, `({0: x, [k]: y} = view)`, checks in the computed key.

import type {
  ForInStatement,
  ForOfStatement,
  MemberExpression,
  Node,
  ObjectPattern,
  Pattern,
  VariableDeclaration,
  VariableDeclarator,
} from 'acorn';
import { check, operandsInPlace, text, visitMember } from './elements.ts';
import { isAnonymousFunction, isElement, isSimple, keyKind, unparenthesized } from './facts.ts';
import type { Forms, Rewriter } from './rewriter.ts';

/** Visits what is assigned to. `isCalm`: nothing of others runs between evaluating it and writing it. */
export function visitTarget(rewriter: Rewriter, target: Node, isCalm: boolean): void {
  const node = unparenthesized(target) as Pattern;
  switch (node.type) {
    case 'MemberExpression':
      if (!isElement(node, rewriter.forInKeys)) visitMember(rewriter, node);
      else if (isCalm) checkInKey(rewriter, node);
      else writeInSetter(rewriter, node);
      break;
    case 'ArrayPattern':
      for (const element of node.elements) if (element) visitTarget(rewriter, element, isCalm);
      break;
    case 'ObjectPattern':
      for (const property of node.properties) {
        if (property.type === 'RestElement') visitTarget(rewriter, property.argument, isCalm);
        else {
          if (property.computed) rewriter.visitPart(property.key);
          visitTarget(rewriter, property.value, isCalm);
        }
      }
      break;
    case 'AssignmentPattern':
      // The default is evaluated between target and write.
      visitTarget(rewriter, node.left, false);
      rewriter.visitPart(node.right, nameOf(node.left));
      break;
    case 'RestElement':
      visitTarget(rewriter, node.argument, isCalm);
      break;
    default:
      rewriter.visit(node);
  }
}

export function nameOf(node: Node): string {
  return node.type === 'Identifier' ? (node as Node & { name: string }).name : '';
}

/** `a[i]` → `a[(check,i)]` or `(t1=a())[(t2=i(),check,t2)]` */
function checkInKey(rewriter: Rewriter, node: MemberExpression): void {
  const { edits, frame } = rewriter;
  const { object, property } = node;
  const mark = frame.live;
  const inPlace = operandsInPlace(node, rewriter);
  if (inPlace) {
    edits.right(property.start, `(${check(rewriter, 'w', node, inPlace)},`);
    edits.left(property.end, ')');
  } else {
    const operands = { object: rewriter.temporary(), key: '' };
    edits.right(object.start, `(${operands.object}=`);
    rewriter.visit(object);
    edits.left(object.end, ')');
    operands.key = rewriter.temporary();
    edits.right(property.start, `(${operands.key}=(`);
    rewriter.visit(property);
    edits.left(property.end, `),${check(rewriter, 'w', node, operands)},${operands.key})`);
  }
  frame.live = mark;
}

/** `a[i]` → `((a,b,c)=>({set v(d){check;a[b]=d}}))(a,i).v` */
function writeInSetter(rewriter: Rewriter, node: MemberExpression): void {
  const { edits, prefix } = rewriter;
  const { object, property } = node;
  const operands = { object: `${prefix}_o`, key: `${prefix}_k` };
  const parameters = `${operands.object},${operands.key},${prefix}0`;
  const body = `${check(rewriter, 'w', node, operands)};${text(operands)}=${prefix}_v`;
  edits.right(node.start, `((${parameters})=>({set v(${prefix}_v){${body}}}))(`);
  rewriter.visit(object);
  const bracket = rewriter.find('[', object.end);
  edits.replace(bracket, bracket + 1, ',(');
  rewriter.visit(property);
  edits.replace(node.end - 1, node.end, ')).v');
}

function variableDeclarator(rewriter: Rewriter, node: VariableDeclarator): void {
  visitSourceAndPattern(rewriter, node.id, node.init);
}

/** The pattern of `pattern = source`, and the source, whose elements an object pattern may take by index. */
export function visitSourceAndPattern(rewriter: Rewriter, pattern: Pattern, source: Node | null | undefined): void {
  const takes = source && pattern.type === 'ObjectPattern' && !isAnonymousFunction(source);
  const keys = takes ? indexKeys(rewriter, pattern) : [];
  if (!source || keys.length === 0) {
    visitTarget(rewriter, pattern, !!source && unparenthesized(source).type === 'ArrayExpression');
    if (source) rewriter.visitNamed(source, pattern);
    return;
  }
  const { edits, frame } = rewriter;
  const mark = frame.live;
  const object = isSimple(source) ? rewriter.source.slice(source.start, source.end) : rewriter.temporary();
  const held = keys.map((index) => ({ ...index, name: rewriter.temporary() }));
  for (const { key, computed, name } of held) edits.right(key.start, computed ? `(${name}=(` : `[(${name}=(`);
  visitTarget(rewriter, pattern, false);
  for (const { key, computed, name } of held) {
    const node = { ...key, type: 'MemberExpression', object: source, property: key, computed: true, optional: false };
    const checked = check(rewriter, 'r', node as MemberExpression, { object, key: name });
    edits.left(key.end, `),${checked},${name})${computed ? '' : ']'}`);
  }
  if (!isSimple(source)) edits.right(source.start, `(${object}=`);
  rewriter.visit(source);
  if (!isSimple(source)) edits.left(source.end, ')');
  frame.live = mark;
}

function indexKeys(rewriter: Rewriter, pattern: ObjectPattern): { key: Node; computed: boolean }[] {
  const found: { key: Node; computed: boolean }[] = [];
  for (const property of pattern.properties) {
    if (property.type === 'RestElement' || property.shorthand) continue;
    const { key, computed } = property;
    const isNamed = !computed && key.type === 'Identifier';
    if (!isNamed && keyKind(key, rewriter.forInKeys) !== 'never') found.push({ key, computed });
  }
  return found;
}

function forOf(rewriter: Rewriter, node: ForOfStatement): void {
  if (node.left.type !== 'VariableDeclaration') visitTarget(rewriter, node.left, false);
  else rewriter.visit(node.left);
  rewriter.visit(node.right);
  rewriter.visit(node.body);
}

/** The keys of a for-in loop over a view are its indices, as strings: the body's use of them is looked at. */
function forIn(rewriter: Rewriter, node: ForInStatement): void {
  if (node.left.type !== 'VariableDeclaration') visitTarget(rewriter, node.left, false);
  else rewriter.visit(node.left);
  rewriter.visit(node.right);
  const name = nameOf(node.left.type === 'VariableDeclaration' ? node.left.declarations[0].id : node.left);
  const isNew = name !== '' && !rewriter.forInKeys.has(name);
  if (isNew) rewriter.forInKeys.add(name);
  rewriter.visit(node.body);
  if (isNew) rewriter.forInKeys.delete(name);
}

function variableDeclaration(rewriter: Rewriter, node: VariableDeclaration): void {
  rewriter.visitAll(node.declarations);
}

export const patternForms: Forms = {
  VariableDeclaration: variableDeclaration,
  VariableDeclarator: variableDeclarator,
  ForOfStatement: forOf,
  ForInStatement: forIn,
};
