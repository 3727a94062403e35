// Updates a second of all writers together, by how many there are: threads with pages of their own.
#include "curves/bus.hpp"

#include <atomic>
#include <exception>
#include <thread>

namespace bench {

namespace {

// A writer's own pages, and how often it has changed one of them.
struct Share {
    explicit Share(std::size_t pages) : contents(pages, page_size) {}
    Contents contents;
    std::vector<mmsb::Page> handles{};
    std::uint64_t updates = 0;
    std::exception_ptr failed{};

    void write(const std::atomic<bool>& stop) noexcept {
        try {
            for (; !stop.load(std::memory_order_relaxed); ++updates) {
                const auto n = contents.any();
                contents.scatter(n, 10);
                handles[n].update(contents.page(n));
            }
        } catch (...) {
            failed = std::current_exception();
        }
    }
    void check() {
        if (failed) std::rethrow_exception(failed);
        for (std::size_t n = 0; n < contents.pages(); ++n)
            if (!std::ranges::equal(handles[n].read(), contents.page(n)))
                throw std::runtime_error("a writer's page is wrong at the end");
    }
};

double per_second(const CurveOptions& options, mmsb::Durability durability, std::size_t writers) {
    constexpr std::size_t pages = 8000;
    const auto turn = std::chrono::milliseconds(options.quick ? 50 : 500);
    // One page of its own makes the bus; the writers' pages are theirs.
    const CurveBus bus(options, 1, page_size, durability);
    std::vector<Share> shares;
    for (std::size_t w = 0; w < writers; ++w) {
        auto& share = shares.emplace_back(pages / writers);
        auto tx = bus->transaction();
        for (std::size_t n = 0; n < share.contents.pages(); ++n)
            share.handles.push_back(
                tx.create_page(page_size, {.contents = share.contents.page(n)}));
        tx.commit();
        for (auto& handle : share.handles) handle = bus->page(handle.id());
    }
    std::atomic<bool> stop{false};
    const auto began = std::chrono::steady_clock::now();
    {
        std::vector<std::jthread> threads;
        threads.reserve(writers);
        for (auto& share : shares) threads.emplace_back([&] { share.write(stop); });
        std::this_thread::sleep_for(turn);
        stop = true;
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    std::uint64_t updates = 0;
    for (auto& share : shares) {
        share.check();
        updates += share.updates;
    }
    return static_cast<double>(updates) / took.count();
}

}  // namespace

Curve by_writers(const CurveOptions& options) {
    Curve curve{.name = "writers",
                .title = "Updates a second, by how many threads write",
                .x = "writers",
                .y = "updates a second, all together"};
    Series process{"survives kill -9 (process)"}, sync{"waits for the disk (sync)"};
    for (const std::size_t writers : {1U, 2U, 4U, 8U, 16U}) {
        process.points.emplace_back(writers,
                                    per_second(options, mmsb::Durability::process, writers));
        sync.points.emplace_back(writers, per_second(options, mmsb::Durability::sync, writers));
    }
    curve.series = {std::move(process), std::move(sync)};
    return curve;
}

}  // namespace bench
