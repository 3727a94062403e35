/// api/overlay: bytes that a transaction writes over a page.
#pragma once

#include "state/stage.hpp"

#include <map>
#include <memory_resource>

namespace mmsb::detail {

/// For nodes of containers that are let go of together with the pieces. Given back is nothing
/// before.
class PieceResource final : public std::pmr::memory_resource {
public:
    explicit PieceResource(state::Pieces& pieces) noexcept : pieces_(pieces) {}
    [[nodiscard]] state::Pieces& pieces() const noexcept { return pieces_; }

private:
    void* do_allocate(std::size_t size, std::size_t alignment) override {
        return alignment <= state::Pieces::small_alignment ? pieces_.take_small(size).data()
                                                           : pieces_.take(size).data();
    }
    void do_deallocate(void* /*at*/, std::size_t /*size*/, std::size_t /*alignment*/) override {}
    [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override {
        return this == &other;
    }
    state::Pieces& pieces_;
};

/// Disjoint stretches by offset; later ones replace what they cover. Its memory is the resource's.
class Overlay {
public:
    explicit Overlay(PieceResource& memory) : stretches_(&memory), pieces_(memory.pieces()) {}
    /// Copies the bytes. O(log n) and what it covers.
    void put(std::uint64_t offset, std::span<const std::byte> bytes);
    /// Drops what lies behind the new end of the page.
    void cut(std::uint64_t size);
    void clear() noexcept { stretches_.clear(); }
    /// Writes what falls into [offset, offset + out.size()).
    void over(std::span<std::byte> out, std::uint64_t offset) const;
    /// Ascending, disjoint. Lives as long as the pieces.
    [[nodiscard]] std::span<const state::Write> writes() const;

private:
    using Stretches = std::pmr::map<std::uint64_t, std::span<std::byte>>;
    [[nodiscard]] std::span<std::byte> copy(std::span<const std::byte> bytes);

    Stretches stretches_;
    state::Pieces& pieces_;
};

}  // namespace mmsb::detail
