#include <mmsb/mmsb.hpp>

#include <iostream>

int main() {
    auto bus = mmsb::start({.path = "demo.bus"});
    auto page = bus.open_page("greeting", 64);

    const auto first = page.write(0, mmsb::bytes_of("hello, world"));
    page.write(7, mmsb::bytes_of("MMSB!"));

    std::cout << mmsb::text_of(page.read()) << '\n';                         // hello, MMSB!
    std::cout << mmsb::text_of(bus.at(first.sequence).bytes(page)) << '\n';  // hello, world
    for (const auto& change : page.history()) std::cout << change << '\n';
}
