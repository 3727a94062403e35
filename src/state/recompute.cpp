#include "state/recompute.hpp"

#include "state/commit.hpp"

#include <algorithm>

namespace mmsb::state {

std::optional<Recomputer::Difference> Recomputer::recompute(const replay::Image& image, PageId page,
                                                            const replay::Formula& formula) {
    const auto function = bus_.functions.find(formula.function);
    if (!function || function->accumulates) {
        skipped_[page] = true;
        return std::nullopt;
    }
    std::vector<std::span<const std::byte>> parents;
    std::vector<ByteRange> whole;
    std::vector<std::span<const ByteRange>> changed;
    whole.reserve(formula.parents.size());  // spans look at it
    for (const auto parent : formula.parents) {
        const auto* there = image.find(parent);
        if (there == nullptr) return Difference{page, 0, formula.function, "a parent is gone"};
        const auto& bytes = there->bytes;
        parents.emplace_back(bytes);
        changed.emplace_back(&whole.emplace_back(ByteRange{0, bytes.size()}), 1);
    }
    const auto& bytes = image.find(page)->bytes;
    Bytes out = bytes;
    ++calls_;
    try {
        const InsideFunction inside(bus_);
        function->call({page, parents, changed, formula.arguments, out});
    } catch (const std::exception& e) {
        return Difference{page, 0, formula.function, e.what()};
    } catch (...) {
        return Difference{page, 0, formula.function, "what is no exception"};
    }
    const auto differs = std::ranges::mismatch(out, bytes).in1;
    if (differs == out.end()) return std::nullopt;
    return Difference{page, static_cast<std::size_t>(differs - out.begin()), formula.function, {}};
}

std::optional<Recomputer::Difference> Recomputer::look(const replay::Image& image) {
    const auto touched = [&](PageId page) {
        const auto* there = image.find(page);
        return there == nullptr || there->sequence > seen_;
    };
    const bool other_structure = image.structure_head() != structure_;
    for (const auto& [page, formula] : image.dependencies().formulas) {
        if (const auto* there = image.find(page); there == nullptr || there->stale) continue;
        const auto known = other_structure ? formulas_.find(page) : formulas_.end();
        const bool other_formula =
            other_structure && (known == formulas_.end() || known->second != formula);
        if (!other_formula && !touched(page) && std::ranges::none_of(formula.parents, touched))
            continue;
        if (auto difference = recompute(image, page, formula)) return difference;
    }
    seen_ = image.sequence();
    structure_ = image.structure_head();
    if (other_structure) formulas_ = image.dependencies().formulas;
    return std::nullopt;
}

}  // namespace mmsb::state
