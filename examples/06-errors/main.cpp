// What can go wrong, and what each error knows. Look for: a call that throws has changed nothing.
#include <mmsb/mmsb.hpp>

#include <iostream>

template <class Call>
void attempt(const char* what, Call call) {
    try {
        call();
        std::cout << what << "\n    worked\n";
    } catch (const mmsb::Error& e) {  // the base of all: code, page, expected, found
        std::cout << what << "\n    " << mmsb::to_string(e.code()) << ": " << e.what() << '\n';
        if (!e.expected().empty())
            std::cout << "    expected " << e.expected() << ", found " << e.found() << '\n';
    }
}

int main() {
    auto bus = mmsb::start({.max_tlog_records = 8});  // private, with eight records of history
    const auto page = bus.create_page(64, {.name = "greeting"});

    if (!bus.find_page("missing")) std::cout << "no such page: an answer, not an error\n";

    attempt("a page that is not there", [&] { static_cast<void>(bus.page("greetings")); });
    attempt("a write past the end", [&] { page.write(60, mmsb::bytes_of("too long")); });
    attempt("a name that is taken", [&] { bus.create_page(8, {.name = "greeting"}); });
    attempt("more than this machine can map", [&] { bus.create_page(std::size_t{1} << 40U); });
    attempt("power-safe, but in private memory",
            [&] { page.write(0, mmsb::bytes_of("x"), {.durability = mmsb::Durability::sync}); });
    attempt("a change of what I saw, which has changed since", [&] {
        const auto seen = page.epoch();
        page.write(0, mmsb::bytes_of("somebody else"));
        page.write(0, mmsb::bytes_of("mine"), {.expected = seen});
    });
    attempt("a commit inside an edit", [&] {
        page.update([&](std::span<std::byte>) { page.write(0, mmsb::bytes_of("x")); });
    });
    for (char c = 'a'; c <= 'z'; ++c) page.write(0, mmsb::bytes_of(std::string(1, c)));
    attempt("a past that was folded away", [&] { static_cast<void>(bus.at(mmsb::Sequence{1})); });
    attempt("a folder that is no bus", [&] {
        static_cast<void>(mmsb::start({.path = "/nowhere", .open = mmsb::Open::existing}));
    });

    std::cout << "the page still works: " << mmsb::text_of(page.read()) << '\n';
    mmsb::stop(std::move(bus));
    attempt("a handle that outlives its bus", [&] { static_cast<void>(page.read()); });
}
