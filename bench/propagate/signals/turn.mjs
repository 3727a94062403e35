// A turn of one library on one graph. Reads {library, parents, cuts, turn_ms} from standard input and writes
// {ns, value, values}: an update's time, what the source is at the end, and what each node is. Nodes are numbers of 32
// bits, mixed as propagate/signals.cpp has it; node 0 is the source. What nothing is computed from has an effect: so all
// is up to date when a write returns.
import { readFileSync } from 'node:fs';

const mix = (sum, value) => {
    const mixed = Math.imul(sum ^ value, 0x9e3779b1);
    return mixed ^ (mixed >>> 15);
};

const libraries = {
    'alien-signals': ({ signal, computed, effect }) => ({
        source: () => signal(0),
        one: parent => computed(() => mix(1, parent())),
        many: parents =>
            computed(() => {
                let sum = 1;
                for (const parent of parents) sum = mix(sum, parent());
                return sum;
            }),
        constant: parent => computed(() => (parent(), 7)),
        watch: node => effect(() => void node()),
        read: node => node(),
        write: (node, value) => void node(value),
    }),
    '@preact/signals-core': ({ signal, computed, effect }) => ({
        source: () => signal(0),
        one: parent => computed(() => mix(1, parent.value)),
        many: parents =>
            computed(() => {
                let sum = 1;
                for (const parent of parents) sum = mix(sum, parent.value);
                return sum;
            }),
        constant: parent => computed(() => (parent.value, 7)),
        watch: node => effect(() => void node.value),
        read: node => node.value,
        write: (node, value) => {
            node.value = value;
        },
    }),
};

const build = (library, { parents, cuts }) => {
    const nodes = [];
    const is_parent = new Set(parents.flat());
    parents.forEach((of, node) => {
        const above = of.map(parent => nodes[parent]);
        if (above.length === 0) nodes.push(library.source());
        else if (cuts && node === 1) nodes.push(library.constant(above[0]));
        else nodes.push(above.length === 1 ? library.one(above[0]) : library.many(above));
        if (above.length !== 0 && !is_parent.has(node)) library.watch(nodes[node]);
    });
    return nodes;
};

const { library: name, turn_ms, ...shape } = JSON.parse(readFileSync(0, 'utf8'));
const library = libraries[name](await import(name));
const nodes = build(library, shape);
let value = 0;
const run = () => {
    const first = value;
    const began = performance.now();
    do {
        for (let i = 0; i < 8; ++i) library.write(nodes[0], ++value);
    } while (performance.now() - began < turn_ms);
    return ((performance.now() - began) * 1e6) / (value - first);
};
run(); // until it is compiled
const ns = run();
console.log(JSON.stringify({ ns, value, values: nodes.map(library.read) }));
