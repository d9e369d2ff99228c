import { closeSync } from 'node:fs';
import { StreamPlug } from '../../src/plug/stream.js';
import { pipe } from '../../src/sys/process.js';
import { SOCK_STREAM, socketPair } from '../../src/sys/socket.js';
import { complianceSuite } from './compliance.js';

complianceSuite({
  name: 'streams over pipes',
  openPair: async () => {
    const [forth, back] = [pipe(), pipe()];
    const a = new StreamPlug('a', back.read, forth.write, 9236);
    const b = new StreamPlug('b', forth.read, back.write, 9236);
    for (const fd of [forth.read, forth.write, back.read, back.write]) closeSync(fd);
    return { a, b };
  },
});

complianceSuite({
  name: 'streams over a socket',
  openPair: async () => {
    const ends = socketPair(SOCK_STREAM, 'pair');
    const [a, b] = ends.map((end, i) => new StreamPlug(`end ${i}`, end.fd, end.fd, 65_535));
    for (const end of ends) end.close();
    return { a, b };
  },
});
