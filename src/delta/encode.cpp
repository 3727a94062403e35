#include "base/bytes.hpp"
#include "base/copy.hpp"
#include "delta/codec.hpp"
#include "delta/layout.hpp"
#include "delta/windows.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <type_traits>

namespace mmsb::delta {

namespace {

constexpr std::size_t chunk_windows = 512;  // Compared at a time.
constexpr std::size_t kept_windows = windows_compared_once;

/// On the stack and deliberately not initialised: a small page uses little of it.
using WindowBuffer = std::array<Window, kept_windows + chunk_windows>;
static_assert(std::is_trivially_default_constructible_v<Window>);

int first_bit(std::uint64_t mask) { return std::countr_zero(mask); }

/// The windows of parts that are compared, in lists of up to kept_windows or so.
class PartSource {
public:
    static constexpr bool gathers = true;  ///< Windows know their values.

    PartSource(std::span<const Part> parts, Expect expect) : parts_(parts), expect_(expect) {}

    [[nodiscard]] Tally tally() {
        Tally tally;
        std::size_t lists = 0;
        scan(tally, [&lists](std::span<const Window>) { ++lists; });
        kept_ = lists <= 1;
        return tally;
    }
    template <class F>
    void each(F&& fn) {
        Tally ignored;
        if (kept_) {
            fn(std::span<const Window>(buffer_.data(), count_));
        } else {
            scan(ignored, fn);
        }
    }
    void copy_values(std::byte* to) const {
        for (const auto& part : parts_) to = base::copy(part.after, to);
    }

private:
    template <class F>
    void scan(Tally& tally, F&& fn) {
        count_ = 0;
        for (const auto& part : parts_) {
            for (std::size_t at = 0; at < part.after.size(); at += chunk_windows * window) {
                const auto size = std::min(part.after.size() - at, chunk_windows * window);
                if (count_ > kept_windows) {
                    fn(std::span<const Window>(buffer_.data(), count_));
                    count_ = 0;
                }
                count_ += collect({.offset = part.offset + at,
                                   .before = part.before.subspan(at, size),
                                   .after = part.after.subspan(at, size)},
                                  expect_, buffer_.data() + count_, tally);
            }
        }
        fn(std::span<const Window>(buffer_.data(), count_));
    }

    std::span<const Part> parts_;
    Expect expect_;
    WindowBuffer buffer_;
    std::size_t count_ = 0;
    bool kept_ = false;
};

/// The windows of runs that are known to change, on the page's grid of 64 bytes.
class RunSource {
public:
    static constexpr bool gathers = false;  ///< The values are appended by themselves.

    explicit RunSource(std::span<const Delta::Run> runs) : runs_(runs) {}

    [[nodiscard]] Tally tally() {
        Tally tally;
        std::size_t end = ~std::size_t{0};
        for (const auto& run : runs_) {
            if (run.bytes.empty()) continue;
            tally.changed += run.bytes.size();
            tally.runs += run.offset != end ? 1 : 0;
            end = run.offset + run.bytes.size();
        }
        each([&tally](std::span<const Window> windows) { tally.windows += windows.size(); });
        return tally;
    }
    template <class F>
    void each(F&& fn) {
        std::size_t count = 0;
        Window open{};
        const auto close = [&] {
            if (open.mask == 0) return;
            if (count == kept_windows) {
                fn(std::span<const Window>(buffer_.data(), count));
                count = 0;
            }
            buffer_[count++] = open;
        };
        for (const auto& run : runs_) {
            for (std::size_t at = run.offset; at < run.offset + run.bytes.size();) {
                const auto begin = at / window * window;
                const auto end = std::min(begin + window, run.offset + run.bytes.size());
                if (open.offset != begin) {
                    close();
                    open = {.offset = begin, .mask = 0, .after = nullptr};
                }
                open.mask |= ~std::uint64_t{0} >> (window - (end - at)) << (at - begin);
                at = end;
            }
        }
        close();
        fn(std::span<const Window>(buffer_.data(), count));
    }
    void copy_values(std::byte* to) const {
        for (const auto& run : runs_) to = base::copy(run.bytes, to);
    }

private:
    std::span<const Delta::Run> runs_;
    WindowBuffer buffer_;
};

// Each writer is given all windows in the page's order. `values` moves on where the source gathers.

template <class Position, bool gathers>
struct OffsetWriter {
    std::byte* positions;
    std::byte* values;
    void add(std::span<const Window> windows) {
        for (const auto& w : windows)
            for (auto mask = w.mask; mask != 0; mask &= mask - 1)
                store(positions,
                      static_cast<Position>(w.offset + static_cast<std::size_t>(first_bit(mask))));
        if constexpr (gathers) values = gather(windows, values);
    }
    void finish() {}
};

struct BucketWriter {
    Buckets to;
    void add(std::span<const Window> windows) { gather_in_buckets(windows, to); }
    void finish() {}
};

template <class Position, bool gathers>
class RunWriter {
public:
    RunWriter(std::byte* heads, std::byte* values) : heads_(heads), values_(values) {}

    void add(std::span<const Window> windows) {
        for (const auto& w : windows) add(w);
    }
    void add(const Window& w) {
        for (auto mask = w.mask; mask != 0;) {
            const auto bit = static_cast<std::size_t>(first_bit(mask));
            const auto length = static_cast<std::size_t>(std::countr_one(mask >> bit));
            mask &= ~(~std::uint64_t{0} >> (window - length) << bit);
            if (w.offset + bit != end_ || begin_ == end_) {
                close();
                begin_ = w.offset + bit;
            }
            end_ = w.offset + bit + length;
            if constexpr (gathers) {
                if (size_ == 0 || from_ + size_ != w.after + bit) {
                    copy();
                    from_ = w.after + bit;
                }
                size_ += length;
            }
        }
    }
    void finish() {
        close();
        copy();
    }

private:
    void close() {
        if (begin_ == end_) return;
        store(heads_, static_cast<Position>(begin_));
        store(heads_, static_cast<Position>(end_ - begin_));
    }
    void copy() {
        if (size_ == 0) return;
        std::memcpy(values_, from_, size_);
        values_ += size_;
        size_ = 0;
    }

    std::byte* heads_;
    std::byte* values_;
    std::size_t begin_ = 0, end_ = 0;
    const std::byte* from_ = nullptr;  // Of the bytes that are not copied yet: they lie together.
    std::size_t size_ = 0;
};

template <class Position, bool gathers>
struct MaskWriter {
    std::byte* heads;
    std::byte* values;
    void add(std::span<const Window> windows) {
        for (const auto& w : windows) {
            store(heads, static_cast<Position>(w.offset));
            store(heads, w.mask);
        }
        if constexpr (gathers) values = gather(windows, values);
    }
    void finish() {}
};

template <class Source, class Writer>
void write(Source& source, Writer writer) {
    source.each([&writer](std::span<const Window> windows) { writer.add(windows); });
    writer.finish();
}

/// May the changes be counted by bucket: is there none of which all bytes change?
template <class Source>
bool buckets_fit(Source& source, std::uint64_t changed) {
    if (changed < bucket_size) return true;
    std::array<std::uint16_t, small_page / bucket_size> counts{};
    source.each([&counts](std::span<const Window> windows) {
        for (const auto& w : windows) {
            for (auto mask = w.mask; mask != 0; mask &= mask - 1) {
                ++counts[(w.offset + static_cast<std::size_t>(first_bit(mask))) / bucket_size];
            }
        }
    });
    return std::find(counts.begin(), counts.end(), bucket_size) == counts.end();
}

struct Choice {
    Encoding encoding = Encoding::offsets;
    bool buckets = false;
    std::uint64_t size = 0;
};

template <class Source>
Choice choose(Source& source, const Tally& tally, std::size_t page_size) {
    const std::uint64_t n = tally.changed, width = position_width(page_size);
    Choice best{.size = 1 + n * (width + 1)};
    const auto consider = [&best](Choice other) {
        if (other.size < best.size) best = other;
    };
    const Choice buckets{.buckets = true, .size = 1 + buckets_of(page_size) + 2 * n};
    const bool small = page_size <= small_page;
    if (small) consider(buckets);
    const auto others = [&] {
        consider({.encoding = Encoding::runs,
                  .size = 1 + base::varint_size(tally.runs) + tally.runs * 2 * width + n});
        consider({.encoding = Encoding::masks,
                  .size = 1 + base::varint_size(tally.windows) + tally.windows * (width + 8) + n});
        // Only where every byte changes: a delta says exactly which bytes it writes.
        if (n == page_size) consider({.encoding = Encoding::whole, .size = 1 + n});
    };
    others();
    // Whether buckets fit is only worth knowing where they win.
    if (best.buckets && !buckets_fit(source, n)) {
        best = {.size = 1 + n * (width + 1)};
        others();
    }
    return best;
}

template <class Position, class Source>
void write_chosen(Source& source, const Choice& choice, const Tally& tally, std::byte* at) {
    std::byte* const values = at + choice.size - tally.changed;
    const unsigned width = static_cast<unsigned>(std::countr_zero(sizeof(Position)));
    store(at, first_byte(choice.encoding, width));
    const auto count = [&at](std::uint64_t v) {
        for (; v >= 0x80U; v >>= 7U) store(at, static_cast<std::byte>(v | 0x80U));
        store(at, static_cast<std::byte>(v));
    };
    if (choice.encoding == Encoding::offsets) {
        write(source, OffsetWriter<Position, Source::gathers>{at, values});
    } else if (choice.encoding == Encoding::runs) {
        count(tally.runs);
        write(source, RunWriter<Position, Source::gathers>(at, values));
    } else {
        count(tally.windows);
        write(source, MaskWriter<Position, Source::gathers>{at, values});
    }
}

template <class Source>
std::uint64_t encode_counted(Source& source, const Tally& tally, std::size_t page_size,
                             FunctionRef<std::byte*(std::size_t)> room) {
    if (tally.changed == 0) return 0;
    const Choice choice = choose(source, tally, page_size);
    std::byte* const at = room(choice.size);
    if (choice.encoding == Encoding::whole) {
        at[0] = first_byte(choice.encoding, 0);
        source.copy_values(at + 1);
        return tally.changed;
    }
    if (choice.buckets) {
        at[0] = first_byte(Encoding::offsets, 0);
        std::memset(at + 1, 0, buckets_of(page_size));
        std::byte* const positions = at + 1 + buckets_of(page_size);
        write(source,
              BucketWriter{{.counts = at + 1,
                            .positions = positions,
                            .values = Source::gathers ? positions + tally.changed : nullptr}});
    } else {
        with_position(page_size, [&](auto position) {
            write_chosen<decltype(position)>(source, choice, tally, at);
        });
    }
    // Values that the source does not gather come behind the rest as they are.
    if (!Source::gathers) source.copy_values(at + choice.size - tally.changed);
    return tally.changed;
}

template <class Source>
std::uint64_t encode_from(Source& source, std::size_t page_size,
                          FunctionRef<std::byte*(std::size_t)> room) {
    return encode_counted(source, source.tally(), page_size, room);
}

/// Room at the end of a vector.
auto behind(std::vector<std::byte>& out) {
    return [&out](std::size_t size) {
        const auto at = out.size();
        out.resize(at + size);
        return out.data() + at;
    };
}

}  // namespace

std::uint64_t encode_to(std::span<const Part> parts, std::size_t page_size,
                        FunctionRef<std::byte*(std::size_t)> room) {
    PartSource source(parts, Expect::any);
    return encode_from(source, page_size, room);
}

std::uint64_t encode_to(std::span<const Part> parts, std::size_t page_size,
                        FunctionRef<std::byte*(std::size_t)> room, std::vector<ByteRange>& ranges) {
    PartSource source(parts, Expect::few);
    const Tally tally = source.tally();
    ranges.clear();
    source.each([&ranges](std::span<const Window> windows) { add_ranges(windows, ranges); });
    return encode_counted(source, tally, page_size, room);
}

std::uint64_t encode(std::span<const Part> parts, std::size_t page_size,
                     std::vector<std::byte>& out) {
    return encode_to(parts, page_size, behind(out));
}

std::uint64_t encode_runs(std::span<const Delta::Run> runs, std::size_t page_size,
                          std::vector<std::byte>& out) {
    RunSource source(runs);
    return encode_from(source, page_size, FunctionRef<std::byte*(std::size_t)>(behind(out)));
}

}  // namespace mmsb::delta
