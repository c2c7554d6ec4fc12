// Functions, classes and the program: each declares the temporaries that its own text uses, so that a function still runs when its text
// is sent to another thread. Where nothing can be declared (default values, fields, keys in parameters) an arrow function around the
// expression does it, which leaves `this`, `arguments` and `super` as they are.

import type {
  ArrowFunctionExpression,
  BlockStatement,
  Class,
  ExpressionStatement,
  Function as FunctionNode,
  MethodDefinition,
  Node,
  Program,
  Property,
  PropertyDefinition,
  StaticBlock,
} from 'acorn';
import { nameOf, visitTarget } from './patterns.ts';
import type { Forms, Frame, Rewriter } from './rewriter.ts';

function program(rewriter: Rewriter, node: Program): void {
  const frame = rewriter.inFrame('', false, () => visitStatements(rewriter, node.body));
  const hashbang = /^#!.*(\r\n|[\n\r\u2028\u2029]|$)/.exec(rewriter.source);
  const declarations = rewriter.declarations(frame);
  const inScope = rewriter.isScript ? declarations.replace('var', 'let') : declarations;
  insert(rewriter, rewriter.preamble + inScope, node.body, hashbang ? hashbang[0].length : 0);
}

/** Declares the temporaries of `frame` after the directives, or at `start` when there are none. */
function declare(rewriter: Rewriter, frame: Frame, body: readonly Node[], start: number): void {
  insert(rewriter, rewriter.declarations(frame), body, start);
}

function insert(rewriter: Rewriter, declarations: string, body: readonly Node[], start: number): void {
  if (declarations === '') return;
  const directive = body.filter(isDirective).at(-1);
  if (directive) rewriter.edits.left(directive.end, `;${declarations}`);
  else rewriter.edits.left(start, declarations);
}

function isDirective(node: Node): boolean {
  return node.type === 'ExpressionStatement' && (node as ExpressionStatement).directive !== undefined;
}

/** A statement that now opens with a parenthesis must not become the arguments of a call of what stands before it. */
function visitStatements(rewriter: Rewriter, statements: readonly Node[]): void {
  let before: Node | undefined;
  for (const statement of statements) {
    rewriter.visit(statement);
    const opens = statement.type === 'ExpressionStatement' && rewriter.edits.opensAt(statement.start);
    if (opens && before && rewriter.source[before.end - 1] !== ';') rewriter.edits.front(statement.start, ';');
    before = statement;
  }
}

function functionNode(rewriter: Rewriter, node: FunctionNode): void {
  const name = ownName(rewriter, node);
  if (isRewritten(node)) return;
  const suspends = node.async || node.generator;
  rewriter.inPart(name, () => {
    for (const parameter of node.params) visitTarget(rewriter, parameter, false);
  });
  const { body } = node;
  if (body.type === 'BlockStatement') {
    const frame = rewriter.inFrame(name, suspends, () => visitStatements(rewriter, body.body));
    declare(rewriter, frame, body.body, body.start + 1);
  } else expressionBody(rewriter, node as ArrowFunctionExpression, name);
}

/** A function whose text has come from another thread has been rewritten there: it opens with its temporaries. */
function isRewritten({ body }: FunctionNode): boolean {
  if (body.type !== 'BlockStatement') return false;
  const first = body.body.find((each) => !isDirective(each) && each.type !== 'EmptyStatement');
  if (first?.type !== 'VariableDeclaration') return false;
  return /^__jstsan_*\d/.test(nameOf(first.declarations[0].id));
}

/** `x => a()[x]` → `x => {var t;return …}` */
function expressionBody(rewriter: Rewriter, node: ArrowFunctionExpression, name: string): void {
  const { body } = node;
  const frame = rewriter.inFrame(name, node.async, () => rewriter.visit(body));
  const declarations = rewriter.declarations(frame);
  if (declarations === '') return;
  rewriter.edits.front(body.start, `{${declarations}return `);
  rewriter.edits.left(body.end, '}');
}

function classNode(rewriter: Rewriter, node: Class): void {
  const name = ownName(rewriter, node);
  rewriter.visit(node.superClass);
  for (const member of node.body.body) {
    if (member.type === 'StaticBlock') staticBlock(rewriter, member, name);
    else {
      if (member.computed) rewriter.visit(member.key);
      rewriter.giveName(memberName(member, name));
      if (member.type === 'MethodDefinition') rewriter.visit(member.value);
      else if (member.value) rewriter.wrapped(member.value, memberName(member, name));
    }
  }
}

function memberName(member: MethodDefinition | PropertyDefinition, className: string): string {
  if (member.type === 'MethodDefinition' && member.kind === 'constructor') return `new ${className}`;
  const name = member.computed ? '<computed>' : nameOf(member.key);
  return className ? `${className}.${name}` : name;
}

function staticBlock(rewriter: Rewriter, node: StaticBlock, className: string): void {
  const frame = rewriter.inFrame(`${className}.<static_initializer>`, false, () => {
    visitStatements(rewriter, node.body);
  });
  declare(rewriter, frame, [], rewriter.find('{', node.start) + 1);
}

function property(rewriter: Rewriter, node: Property): void {
  if (node.computed) rewriter.visit(node.key);
  rewriter.giveName(nameOf(node.key));
  rewriter.visit(node.value);
  rewriter.takeName();
}

export const functionForms: Forms = {
  Program: program,
  BlockStatement: (rewriter: Rewriter, node: BlockStatement) => visitStatements(rewriter, node.body),
  SwitchCase: (rewriter: Rewriter, node: Node & { test?: Node | null; consequent: Node[] }) => {
    rewriter.visit(node.test);
    visitStatements(rewriter, node.consequent);
  },
  FunctionDeclaration: functionNode,
  FunctionExpression: functionNode,
  ArrowFunctionExpression: functionNode,
  ClassDeclaration: classNode,
  ClassExpression: classNode,
  Property: property,
};

function ownName(rewriter: Rewriter, node: FunctionNode | Class): string {
  const inferred = rewriter.takeName();
  return node.id ? node.id.name : inferred;
}
