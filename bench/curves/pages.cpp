// An update, by how many pages there are, how large they are, and how much of one changes.
#include "curves/bus.hpp"

#include <cstring>
#include <fstream>

namespace bench {

namespace {

constexpr std::size_t changed = 10;

std::uint64_t available_memory() {
    std::ifstream in("/proc/meminfo");
    for (std::string name; in >> name;) {
        std::uint64_t kib = 0;
        if (name == "MemAvailable:" && in >> kib) return kib << 10U;
        in.ignore(256, '\n');
    }
    return 0;
}

// The page itself twice (ours, and the model), its line, its handle, and what else there is.
bool fits(std::size_t pages, std::size_t size) {
    return pages * (2 * size + 320) < available_memory() / 2;
}

double update(CurveBus& bus, std::size_t updates) {
    const auto ns = each_ns(updates, [&] {
        const auto n = bus.contents.any();
        bus.contents.scatter(n, changed);
        bus.handles[n].update(bus.contents.page(n));
    });
    bus.check(*bus);
    return ns;
}

// The same changes, and the page copied to where it is kept: what nobody can be quicker than.
double copy(std::size_t pages, std::size_t size, std::size_t updates) {
    Contents contents(pages, size);
    std::vector<std::byte> kept(pages * size, std::byte{1});
    return each_ns(updates, [&] {
        const auto n = contents.any();
        contents.scatter(n, changed);
        std::memcpy(kept.data() + n * size, contents.page(n).data(), size);
    });
}

}  // namespace

Curve by_pages(const CurveOptions& options) {
    Curve curve{.name = "pages",
                .title = "An update of ten bytes, by how many pages there are",
                .x = "pages",
                .y = "ns an update"};
    const std::size_t most = options.quick ? 10'000 : 10'000'000;
    const std::size_t updates = options.quick ? 20'000 : 500'000;
    for (const std::size_t size : {std::size_t{64}, std::size_t{1024}}) {
        Series ours{fmt::format("MMSB, pages of {} bytes", size)};
        Series floor{fmt::format("copying the page, {} bytes", size), true};
        for (std::size_t pages = 1000; pages <= most && fits(pages, size); pages *= 10) {
            floor.points.emplace_back(pages, copy(pages, size, updates));
            CurveBus bus(options, pages, size);
            ours.points.emplace_back(pages, update(bus, updates));
        }
        curve.series.push_back(std::move(ours));
        curve.series.push_back(std::move(floor));
    }
    return curve;
}

Curve by_page_size(const CurveOptions& options) {
    Curve curve{.name = "page-size",
                .title = "A change of ten bytes, by the size of the page",
                .x = "bytes of the page",
                .y = "ns a change"};
    const std::size_t most = options.quick ? 64 << 10U : 64 << 20U;
    Series update_series{"update: all of the page is handed over"}, write_series{"write: the part"},
        floor{"copying the page", true};
    for (std::size_t size = 64; size <= most; size *= 4) {
        const auto pages = std::clamp<std::size_t>((64U << 20U) / size, 1, 1000);
        const auto updates = std::clamp<std::size_t>(
            (options.quick ? 4U << 20U : 256U << 20U) / size, 5, options.quick ? 10'000 : 300'000);
        floor.points.emplace_back(size, copy(pages, size, updates));
        CurveBus bus(options, pages, size);
        update_series.points.emplace_back(size, update(bus, updates));
        const std::size_t writes = options.quick ? 10'000 : 300'000;
        write_series.points.emplace_back(size, each_ns(writes, [&] {
                                             const auto n = bus.contents.any();
                                             const auto at = bus.contents.run(n, changed);
                                             bus.handles[n].write(
                                                 at, bus.contents.page(n).subspan(at, changed));
                                         }));
        bus.check(*bus);
    }
    curve.series = {std::move(update_series), std::move(write_series), std::move(floor)};
    return curve;
}

Curve by_change(const CurveOptions& options) {
    constexpr std::size_t size = 4096, pages = 1000;
    Curve curve{.name = "change",
                .title = "An update of a page of 4 KiB, by how much of it changes",
                .x = "per cent of its bytes",
                .y = "ns an update"};
    const std::size_t updates = options.quick ? 2000 : 30'000;
    Series scattered{"MMSB, scattered bytes"}, in_a_row{"MMSB, bytes in a row"},
        floor{"changing them, copying the page", true},
        floor_row{"changing a row, copying the page", true};
    std::vector<std::byte> kept(pages * size, std::byte{1});
    const auto measure = [&](Series& ours, Series& least, double percent, auto&& change) {
        CurveBus bus(options, pages, size);
        ours.points.emplace_back(percent, each_ns(updates, [&] {
                                     const auto n = bus.contents.any();
                                     change(bus.contents, n);
                                     bus.handles[n].update(bus.contents.page(n));
                                 }));
        bus.check(*bus);
        least.points.emplace_back(percent, each_ns(updates, [&] {
                                      const auto n = bus.contents.any();
                                      change(bus.contents, n);
                                      std::memcpy(kept.data() + n * size,
                                                  bus.contents.page(n).data(), size);
                                  }));
    };
    for (const double percent : {0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0}) {
        const auto bytes = static_cast<std::size_t>(percent / 100 * size);
        measure(scattered, floor, percent,
                [&](Contents& contents, std::size_t n) { contents.scatter(n, bytes); });
        measure(in_a_row, floor_row, percent,
                [&](Contents& contents, std::size_t n) { contents.run(n, bytes); });
    }
    curve.series = {std::move(scattered), std::move(floor), std::move(in_a_row),
                    std::move(floor_row)};
    return curve;
}

}  // namespace bench
