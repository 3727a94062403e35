// What a user of the installed package writes first. Each line has a neighbour in
// tests/acceptance/negative that must not compile: this one shows that the refusals there are not
// for another reason.
#include <mmsb/mmsb.hpp>

#include <iostream>

struct Pair {
    int a, b;
};

int main() {
    const auto bus = mmsb::start();
    const mmsb::Scope scope(bus);
    const auto pair = bus.create<Pair>();
    const auto first = pair.update([](Pair& p) { p.a = 1; });
    pair.update([](Pair& p) { p.b = 2; });

    const auto past = bus.at(first.sequence);
    const bool right = past.get(pair).a == 1 && past.get(pair).b == 0 && pair.read().b == 2;
    std::cout << (right ? "as it should be\n" : "wrong\n");
    return right ? 0 : 1;
}
