// What the administrator set for this plugin.

import * as contract from "xapiary:plugin/settings@0.1.0";

import { told } from "./errors.js";

export const all = () => JSON.parse(contract.all());

export const get = (name, otherwise = undefined) => all()[name] ?? otherwise;

export const secret = (name) => told(() => contract.secret(name));
