// The same operations give the same state at each sequence whatever compiled the library: this
// program runs as gcc's release and as clang's with sanitizers in CI, and the number that all must
// come to is written down here. Derived pages with floating point are part of it.
#include "base/checksum.hpp"
#include "support/contents.hpp"
#include "support/temp_bus.hpp"

#include <gtest/gtest.h>

#include <random>

namespace mmsb::test {
namespace {

class Hash {
public:
    template <class T>
    void add(const T& value) {
        add_bytes(std::as_bytes(std::span(&value, 1)));
    }
    void add_bytes(std::span<const std::byte> bytes) { sum_ = base::crc32c(sum_, bytes); }
    void add(const Contents& state) {
        add(state.sequence);
        for (const auto& [id, page] : state.pages) {
            add(id);
            add_bytes(std::as_bytes(std::span(page.name)));
            add(page.epoch);
            add_bytes(page.bytes);
            add(page.derived);
            add(page.stale);
        }
        for (const auto& edge : state.edges) {
            add(edge.parent);
            add(edge.child);
            add(edge.type);
        }
    }
    [[nodiscard]] std::uint32_t value() const noexcept { return sum_; }

private:
    std::uint32_t sum_ = ~0U;
};

// The standard says which numbers mt19937_64 gives, but not which its distributions do.
std::uint64_t below(std::mt19937_64& random, std::uint64_t limit) { return random() % limit; }

Bytes doubles(std::mt19937_64& random, std::size_t n) {
    std::vector<double> values(n);
    for (auto& value : values) value = static_cast<double>(below(random, 1'000'000)) / 977.0 - 300;
    const auto bytes = std::as_bytes(std::span(values));
    return {bytes.begin(), bytes.end()};
}

void derive_some(const State& bus, const std::vector<Page>& inputs) {
    const auto scalar = [&](const char* name) { return bus.create_page(8, {.name = name}); };
    bus.graph().derive(scalar("sum"), inputs, formula::sum<double>());
    bus.graph().derive(scalar("minimum"), inputs, formula::minimum<double>());
    bus.graph().derive(scalar("maximum"), inputs, formula::maximum<double>());
    bus.graph().derive(bus.create_page(1, {.name = "alarm"}), {bus.page("sum")},
                       formula::threshold(0));
    std::size_t size = 0;
    for (const auto& input : inputs) size += input.size();
    bus.graph().derive(bus.create_page(size, {.name = "all"}), inputs, formula::concatenate());
    bus.graph().derive(bus.create_page(4, {.name = "checksum"}), {bus.page("all")},
                       formula::checksum());
}

void change_something(const State& bus, std::mt19937_64& random, const std::vector<Page>& inputs) {
    const auto kind = below(random, 10);
    const auto& input = inputs[below(random, inputs.size())];
    if (kind < 5) {
        input.update(doubles(random, input.size() / sizeof(double)));
    } else if (kind < 7) {
        const auto lane = below(random, input.size() / sizeof(double));
        input.write(lane * sizeof(double), doubles(random, 1));
    } else if (kind == 7) {
        bus.create_page(1 + below(random, 5000), {.contents = bytes_of("x")});
    } else if (kind == 8) {
        const auto last = bus.pages().back();
        if (last.info().name.empty()) bus.delete_page(last);
    } else {
        bus.transact([&](Transaction& tx) {
            for (const auto& each : inputs) tx.update(each, doubles(random, each.size() / 8));
        });
    }
}

TEST(TheSameHistory, IsTheSameStateWhateverCompiledIt) {
    const TempFolder folder;
    std::mt19937_64 random(20'26);
    auto bus = start_with(at(folder));
    std::vector<Page> inputs;
    for (const std::size_t n : {1U, 3U, 64U, 700U})
        inputs.push_back(
            bus.create_page(n * sizeof(double), {.name = "input " + std::to_string(n)}));
    derive_some(bus, inputs);
    Hash live;
    for (int i = 0; i < 400; ++i) {
        change_something(bus, random, inputs);
        live.add(contents_of(bus));
    }
    constexpr std::uint32_t everywhere = 1'884'632'480;
    EXPECT_EQ(live.value(), everywhere);
    const auto last = contents_of(bus);
    stop(std::move(bus));
    remove_arena(folder.path());  // from the log alone
    bus = start_with(at(folder));
    EXPECT_EQ(contents_of(bus), last);
    Hash replayed;
    for (std::uint64_t n = 0; n <= last.sequence; ++n)
        replayed.add(contents_of(bus.at(Sequence{n})));
    constexpr std::uint32_t all_of_it = 4'008'123'623;
    EXPECT_EQ(replayed.value(), all_of_it);
}

}  // namespace
}  // namespace mmsb::test
