/// bench/beside/sides: one process that changes pages without pause, another one that reads them.
/// One file an engine.
///
///     auto writer = sides.writer(folder, bytes);      // in the one; the pages are there then
///     auto reader = sides.reader(folder);             // in the other
#pragma once

#include "stores/store.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace bench {

/// After which of the writer's commits: how many there were before, and how many of its own.
using Moment = std::uint64_t;

/// The reading process's way to the pages.
class Reader {
public:
    virtual ~Reader() = default;
    /// The page's bytes; they have been so since the moment that is returned, or before it.
    virtual Moment read(std::uint64_t page, std::span<std::byte> out) = 0;
    /// Several pages as of one moment, which held() hands out until the next call.
    virtual Moment read_many(std::span<const std::uint64_t> pages) = 0;
    /// The n-th of them.
    [[nodiscard]] virtual std::span<const std::byte> held(std::size_t n) const = 0;
};

struct Sides {
    std::string name{};
    /// A new store in the folder; `bytes` are all its pages, in order. In the writing process.
    std::function<std::unique_ptr<Writer>(const std::string& folder,
                                          std::span<const std::byte> bytes)>
        writer{};
    std::function<std::unique_ptr<Reader>(const std::string& folder)> reader{};
};

/// What no engine can beat: memcpy out of memory that both have mapped. Whoever reads beside a
/// writer gets halves of two versions. Made before the fork; `bytes`: of all pages.
Sides memcpy_sides(std::size_t bytes);
/// Page::read_into and State::snapshot of a bus that is opened to read only.
Sides mmsb_sides();
/// All the bytes are one page, of which the writer changes a part each time; it is read whole.
Sides mmsb_large_sides();
/// A read transaction each, begun or (`renewed`) one that is reset and renewed.
Sides lmdb_sides(bool renewed);

/// A new store with these pages, and a writer of it: both in one.
std::unique_ptr<Writer> loaded_writer(const Way& way, const std::string& folder,
                                      std::span<const std::byte> bytes);
/// Looks at a page of the bus as Page::peek does: can it be read without going the long way?
/// For the time while its writer is stopped.
bool stands_still(Reader& mmsb_reader, std::uint64_t page);

}  // namespace bench
