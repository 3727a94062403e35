/// propagate/shapes: graphs of pages of 1 KiB, and what their pages hold, as each engine has to
/// keep them. Node 0 is the source; parents come before their children.
#pragma once

#include <mmsb/types.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace bench {

inline constexpr std::size_t page_size = 1024;
using Page = std::array<std::byte, page_size>;
using Nodes = std::vector<std::uint32_t>;

struct Shape {
    std::string name{};
    std::vector<Nodes> parents{};  ///< Of each node; none of a source.
    std::size_t touched = 0;       ///< Nodes that a change of the source reaches, but for cutoffs.
    bool cuts = false;             ///< Node 1 is constant: what is behind it never changes.
};

/// How much of a page a node's function writes, and an engine compares: all of it, or only what can
/// have changed, by the stretches that have changed of its parents.
enum class Reach : std::uint8_t { page, stretches };

inline std::uint64_t first_number(const std::vector<const Page*>& parents) {
    std::uint64_t sum = 1;
    for (const auto* parent : parents) {
        std::uint64_t value = 0;
        std::memcpy(&value, parent->data(), sizeof value);
        sum = (sum ^ value) * 0x9e3779b97f4a7c15U;
        sum ^= sum >> 29U;
    }
    return sum;
}

/// A node's first number is mixed from its parents' first numbers; the rest of its page is its
/// first parent's. A constant node's page never changes.
inline void compute(const Shape& shape, std::size_t node, const std::vector<const Page*>& parents,
                    Page& out) {
    if (shape.cuts && node == 1) {
        out.fill(std::byte{7});
        return;
    }
    const auto sum = first_number(parents);
    out = *parents[0];
    std::memcpy(out.data(), &sum, sizeof sum);
}

/// The same, where `out` is the page before and `changed` what has changed of its first parent.
inline void compute_changed(const Shape& shape, std::size_t node,
                            const std::vector<const Page*>& parents,
                            std::span<const mmsb::ByteRange> changed, Page& out) {
    if (shape.cuts && node == 1) {
        out.fill(std::byte{7});
        return;
    }
    const auto sum = first_number(parents);
    for (const auto& [offset, size] : changed)
        std::memcpy(out.data() + offset, parents[0]->data() + offset, size);
    std::memcpy(out.data(), &sum, sizeof sum);
}

/// One way of keeping them. Engines are made anew for each shape.
class Propagator {
public:
    virtual ~Propagator() = default;
    /// The source's first number is `value` from now on, and all nodes are up to date.
    virtual void update(std::uint64_t value) = 0;
    [[nodiscard]] virtual Page read(std::size_t node) = 0;
};

[[nodiscard]] std::unique_ptr<Propagator> plain_loop(const Shape& shape);
[[nodiscard]] std::unique_ptr<Propagator> flow_graph(const Shape& shape);  ///< oneTBB's.
[[nodiscard]] std::unique_ptr<Propagator> propagation_alone(const Shape& shape, Reach reach);
[[nodiscard]] std::unique_ptr<Propagator> unlogged(const Shape& shape, const std::string& folder,
                                                   Reach reach);
[[nodiscard]] std::unique_ptr<Propagator> whole_commit(const Shape& shape,
                                                       const std::string& folder, Reach reach);

}  // namespace bench
