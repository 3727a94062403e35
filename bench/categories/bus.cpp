// allocation, propagation, persistence, replay and stress: through the public face, on buses with a
// log.
#include "stores/model.hpp"

#include <mmsb/mmsb.hpp>

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <stdexcept>

namespace {

constexpr std::size_t page_size = 4096;

// A folder that is gone afterwards, with the buses in it.
class Folder {
public:
    Folder() { std::filesystem::create_directories(path_); }
    ~Folder() {
        for (const auto& entry : std::filesystem::directory_iterator(path_))
            if (entry.is_directory()) mmsb::remove_bus(entry.path());
        std::filesystem::remove_all(path_);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    [[nodiscard]] std::string operator/(std::string_view name) const {
        return fmt::format("{}/{}", path_, name);
    }

private:
    std::string path_ =
        std::filesystem::temp_directory_path() / fmt::format("mmsb-categories-{}", getpid());
};

// Pages of 4 KiB with random bytes, and what they hold.
struct Pages {
    Pages(const mmsb::State& bus, std::size_t count) : bytes(count * page_size) {
        for (auto& b : bytes) b = static_cast<std::byte>(random());
        for (std::size_t n = 0; n < count; ++n)
            handles.push_back(bus.create_page(page_size, {.contents = of(n)}));
    }
    std::span<std::byte> of(std::size_t n) {
        return std::span(bytes).subspan(n * page_size, page_size);
    }
    void update(std::size_t n) {
        for (int i = 0; i < 10; ++i)
            of(n)[random() % page_size] ^= static_cast<std::byte>(1 + random() % 255);
        handles[n].update(of(n));
    }
    void check(const mmsb::State& bus) {
        for (std::size_t n = 0; n < handles.size(); ++n)
            if (!std::ranges::equal(bus.page(handles[n].id()).read(), of(n)))
                throw std::runtime_error(fmt::format("page {} is wrong", n));
    }
    bench::Random random{};
    mmsb::Bytes bytes;
    std::vector<mmsb::Page> handles{};
};

// A page with zeros is made; it goes again while the clock stands still.
void allocation(benchmark::State& state) {
    constexpr std::size_t together = 64;
    const auto size = static_cast<std::size_t>(state.range(0));
    const Folder folder;
    {
        const auto bus = mmsb::start({.path = folder / "bus"});
        std::vector<mmsb::Page> pages;
        while (state.KeepRunningBatch(together)) {
            for (std::size_t i = 0; i < together; ++i) pages.push_back(bus.create_page(size));
            state.PauseTiming();
            if (pages.back().read() != mmsb::Bytes(size))
                throw std::runtime_error("a new page is not all zeros");
            for (const auto& page : pages) bus.delete_page(page);
            pages.clear();
            state.ResumeTiming();
        }
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(size));
}

// Pages of 1 KiB, each but the first a copy of the one before it; every byte of the first changes.
void propagation(benchmark::State& state, std::size_t count) {
    const Folder folder;
    {
        const auto bus = mmsb::start({.path = folder / "bus"});
        std::vector<mmsb::Page> pages;
        for (std::size_t n = 0; n < count; ++n) {
            pages.push_back(bus.create_page(bench::page_size));
            if (n > 0) bus.graph().derive(pages[n], {pages[n - 1]}, mmsb::formula::copy());
        }
        bench::Random random;
        std::array<mmsb::Bytes, 2> bytes;
        for (std::size_t i = 0; i < bench::page_size; ++i) {
            bytes[0].push_back(static_cast<std::byte>(random()));
            bytes[1].push_back(~bytes[0].back());
        }
        std::size_t turn = 0;
        const auto update = [&] { pages.front().update(bytes[turn ^= 1U]); };
        for (std::size_t n = 0; n < count; ++n) {
            update();
            if (pages[n].read() != bytes[turn]) throw std::runtime_error("a copy is wrong");
        }
        for (auto _ : state) update();
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(count - 1));
}

void checkpoint(benchmark::State& state) {
    const Folder folder;
    {
        const auto bus = mmsb::start({.path = folder / "bus"});
        Pages pages(bus, 100);
        const auto file = folder / "file";
        bus.checkpoint(file);
        pages.check(mmsb::start({.from_checkpoint = file}));
        for (auto _ : state) bus.checkpoint(file);
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(100 * page_size));
}

void restore(benchmark::State& state) {
    const Folder folder;
    {
        const auto bus = mmsb::start({.path = folder / "bus"});
        Pages pages(bus, 100);
        const auto file = folder / "file";
        bus.checkpoint(file);
        pages.check(mmsb::start({.from_checkpoint = file}));
        std::optional<mmsb::State> restored;
        for (auto _ : state) {
            restored.emplace(mmsb::start({.from_checkpoint = file}));
            state.PauseTiming();
            restored.reset();
            state.ResumeTiming();
        }
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(100 * page_size));
}

// A page as it was after its hundredth change, rebuilt from the log.
void replay(benchmark::State& state) {
    const Folder folder;
    {
        const auto bus = mmsb::start({.path = folder / "bus"});
        Pages pages(bus, 1);
        for (int epoch = 0; epoch < 100; ++epoch) pages.update(0);
        const auto at = bus.sequence();
        const mmsb::Bytes expected = pages.bytes;
        pages.update(0);
        const auto bytes = [&] { return bus.at(at).bytes(pages.handles[0]); };
        if (bytes() != expected) throw std::runtime_error("the past is wrong");
        for (auto _ : state) benchmark::DoNotOptimize(bytes());
    }
    state.SetItemsProcessed(state.iterations() * 100);
}

// All of it, from a bus that is not there to its checkpoint. The edges compute nothing; they go
// from the first half of the pages to the second.
void stress(benchmark::State& state) {
    const Folder folder;
    bench::Random random;
    int count = 0;
    for (auto _ : state) {
        const auto path = folder / fmt::format("{}", ++count);
        std::optional<mmsb::State> bus(mmsb::start({.path = path}));
        Pages pages(*bus, 50);
        const auto any = [&](std::size_t from) { return pages.handles[from + random() % 25]; };
        for (int edge = 0; edge < 10; ++edge)
            bus->graph().add_dependency(any(0), any(25), mmsb::EdgeType::data);
        for (std::size_t i = 0; i < 200; ++i) pages.update(i % 50);
        bus->checkpoint();
        state.PauseTiming();
        pages.check(*bus);
        bus.reset();
        mmsb::remove_bus(path);
        state.ResumeTiming();
    }
    state.SetItemsProcessed(state.iterations() * 200);
}

BENCHMARK(allocation)->Arg(1 << 10)->Arg(1 << 20);
BENCHMARK_CAPTURE(propagation, single_hop, 2)->Name("propagation/single_hop");
BENCHMARK_CAPTURE(propagation, chain_10, 10)->Name("propagation/chain_10");
BENCHMARK(checkpoint)->Name("persistence/checkpoint_100_pages")->UseRealTime();
BENCHMARK(restore)->Name("persistence/restore_100_pages")->UseRealTime();
BENCHMARK(replay)->Name("replay/100_epochs");
BENCHMARK(stress)->Name("stress/50_pages_10_edges_200_updates_checkpoint")->UseRealTime();

}  // namespace
