export { Notify, type NotifyEvent } from './notify.ts';
