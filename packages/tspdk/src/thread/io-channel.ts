export interface IoChannel<C> {
  readonly device: { readonly name: string };
  ctx: C;
}
