import { securityRow } from './cloud-security.js';

securityRow('encrypted');
