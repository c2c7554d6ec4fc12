/** The RAID disks' log. */
import { log } from '../../../log/index.ts';

export const raidLog = log.register('bdev_raid');
