// Notifications, as others may use them.

export { Notify, type NotifyEvent } from './notify.ts';
export { notifyOf } from './notify-of.ts';
