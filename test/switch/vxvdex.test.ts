import test from 'node:test';
import { runInside } from '../plug/inside.js';

test('the broker of vxvdex networks', { timeout: 120_000 }, (t) => runInside(t, '../switch/vxvdex-inside.ts', 16));
